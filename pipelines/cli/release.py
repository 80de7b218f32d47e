"""The commands that show policy versions and change which of them are served."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.names import find_version
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, OutputOption, WideOption, group, load_config
from banditloop.pipelines.cli.progress import doing
from banditloop.pipelines.cli.traffic import promote, rollback, traffic
from banditloop.rl_core.backends import connect
from banditloop.rl_core.reports.versions import DATES, ORIGIN, TOTALS, VERDICT, version_rows

MAIN_COLUMNS = "interactions", "mean_reward", "made"
app = group()


@app.callback()
def release() -> None:
    """Show policy versions, and change which of them are served.

    The first characters of a version's name, which no other one has, name it.

    Example: `banditloop release versions`

    Example: `banditloop release traffic v3=20`
    """


@app.command()
def versions(wide: WideOption = False, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List policy versions with status, traffic, rewards and when they were made.

    --wide and --json add when they were promoted, the parent, the training data, the run, and who decided and why.

    Example: `banditloop release versions --wide`
    """
    columns = (*TOTALS, *DATES, *ORIGIN, *VERDICT) if wide or as_json else MAIN_COLUMNS
    with doing("adding up the log", as_json):
        rows = version_rows(connect(load_config(config)), *columns)
    display.table("versions", rows, as_json, wide)


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="The version, or the first characters of its name.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one version whole: when it was made and promoted, its lineage, totals, training, estimates and verdicts.

    Example: `banditloop release show v3`
    """
    from banditloop.rl_core.reports.version_report import version_report

    platform = connect(load_config(config))
    with doing("adding up the log", as_json):
        content = version_report(platform, find_version(platform.endpoint, version))
    display.json_or_call(content, as_json, lambda: _show(content))


def _show(content: dict[str, Any]) -> None:
    apart = "version", "parent", "lineage", "estimates", "verdicts", "report", "training"
    lineage = {"lineage": " ← ".join(content["lineage"])}
    rows = {key: value for key, value in content.items() if key not in apart} | lineage
    display.key_values(f"version {content['version']}", rows, False)
    if training := content["training"]:
        display.key_values(f"training, by the run {content['run']}", _training(training), False)
    if content["estimates"]:
        display.table("mean reward by its evaluation, doubly robust, in 95 % intervals", content["estimates"])
    verdicts = content["verdicts"]
    display.table("verdicts", [{key: row[key] for key in ("at", "decision", "by", "champion")} for row in verdicts])
    for verdict in verdicts:
        if verdict["reason"]:
            display.line(f"{verdict['decision']}: {verdict['reason']}")
    if content["report"]:
        display.line(f"page: {content['report']}")


def _training(content: dict[str, Any]) -> dict[str, Any]:
    """Metrics of a training, the page of its run where there is one, and where to find what it wrote."""
    page = {"page of the run": content["page"]} if content["page"] else {}
    return content["metrics"] | page | content["written"]


for command in (traffic, promote, rollback):
    app.command()(command)


@app.command()
def report(
    output: OutputOption = Path("build/report"), config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Write a page about the served policies: rewards over time, drift, exploration, retrainings, verdicts.

    Example: `banditloop release report -o build/report`
    """
    from banditloop.rl_core.reports.release_page import write_page
    from banditloop.rl_core.reports.release_report import report as release_report

    settings = load_config(config)
    with doing("reading the newest of the log", as_json):
        content: dict[str, Any] = release_report(settings, connect(settings))
        output.mkdir(parents=True, exist_ok=True)
        (output / "report.json").write_text(json.dumps(content, indent=2))
        write_page(content, output / "index.html")
    lines = [alarm["text"] for alarm in content["alarms"]] + [f"report: {(output / 'index.html').absolute()}"]
    display.json_or_text(content, as_json, "\n".join(lines))
