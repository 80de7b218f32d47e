"""The commands that import logs of other systems as decisions and rewards."""

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, group, load_config
from banditloop.pipelines.cli.vertex_sample import LoggingPolicy, read_interactions, to_tables
from banditloop.rl_core.backends import connect
from banditloop.rl_core.promotion.start import check_start

BATCH_ROWS = 1000
app = group()


@app.callback()
def import_() -> None:
    """Import the log of another system.

    Example: `banditloop import vertex-sample trajectories.json`
    """


@app.command(name="vertex-sample")
def vertex_sample(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="All files of the exported table, a JSON object per line.")
    ],
    config: ConfigOption = None,
    logging_policy: Annotated[
        LoggingPolicy,
        typer.Option(help="Policy that took the actions. Rows of an unknown one cannot evaluate other policies."),
    ] = "uniform",
    as_json: JsonOption = False,
) -> None:
    """Import the trajectory table of Google's MovieLens sample, exported as JSON lines. Idempotent.

    Rows of equal content are told apart by how often it has occurred: give all files of an export in one call.

    The actions of rows written by the sample's generator are uniformly random; rows written by its logger need
    `--logging-policy unknown`, and carry the rewards of other users.

    Example: `bq extract --destination_format NEWLINE_DELIMITED_JSON …`, then
    `banditloop import vertex-sample trajectories-*.json`
    """
    settings = load_config(config)
    platform = connect(settings)
    check_start(settings, platform)
    warehouse, counts, added = platform.warehouse, Counter[str](), 0
    for _ in read_interactions(files, settings):  # raises on a wrong line before anything is imported
        pass
    interactions = read_interactions(files, settings)
    while batch := list(islice(interactions, BATCH_ROWS)):
        decisions, rewards = to_tables(batch, settings, logging_policy, counts)
        warehouse.append("rewards", rewards)
        added += warehouse.append("decisions", decisions)
    duplicate = counts.total() - added
    text = f"imported {added} interactions; {duplicate} had been imported before"
    display.json_or_text({"added": added, "duplicate": duplicate}, as_json, text)
