"""The command `run artifacts`: what the tasks of a run have written, and its metrics."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.names import find, find_run
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, TargetOption, WideOption, load_config
from banditloop.rl_core.backends import connect
from banditloop.rl_core.ports import RunArtifact

CONSOLE = "https://storage.cloud.google.com/"  # of objects in buckets, for a browser that is logged in


def artifacts(
    run_id: Annotated[str, typer.Argument(help="The run's id, or its first characters.")],
    opened: Annotated[
        str, typer.Option("--open", metavar="NAME", help="Open an artifact, as report: a page in the browser.")
    ] = "",
    wide: WideOption = False,
    config: ConfigOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what the tasks of a run have written, with metrics; or open one of it.

    Example: `banditloop run artifacts retraining-v3 --open report`
    """
    runner = connect(load_config(config, target)).runner
    name = find_run(runner, run_id)
    listing = runner.artifacts(name)
    if opened:
        places = {artifact.name: artifact.uri for artifact in listing}
        place = _place(places[find("artifact", opened, list(places), name)])
        typer.launch(place)
        return display.json_or_text({"run_id": name, "opened": place}, as_json, place)
    display.json_or_call([artifact._asdict() for artifact in listing], as_json, lambda: _show(listing, wide))


def _place(uri: str) -> str:
    """A URL that a browser opens as a page. A page's file is copied to one with a suffix, which artifacts lack."""
    if uri.startswith("gs://"):
        return uri.replace("gs://", CONSOLE, 1)
    path = Path(uri)
    if path.is_file() and path.read_bytes()[:15].lower() == b"<!doctype html>":
        page = path.with_name(f"{path.name}.html")  # beside it, where its links lead to the same files
        shutil.copyfile(path, page)
        path = page
    return path.absolute().as_uri()


def _show(artifacts: list[RunArtifact], wide: bool) -> None:
    metrics = [
        {"task": artifact.task, "metric": name, "value": value}
        for artifact in artifacts
        if artifact.name == "metrics"
        for name, value in artifact.metadata.items()
    ]
    rows = [
        {"task": artifact.task, "artifact": artifact.name} | ({"uri": artifact.uri} if wide else {})
        for artifact in artifacts
        if artifact.name != "metrics"
    ]
    display.table("artifacts; --open NAME opens one, --wide shows where they are", rows, wide=wide)
    if metrics:
        display.table("metrics", metrics, wide=wide)
