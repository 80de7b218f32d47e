"""Start a loop of your own, serve it, compile and run its pipelines, and inspect and control what it serves.

Example: `banditloop init news --from log.csv`, then `banditloop serve -c news/loop.toml`

Example: `banditloop status -c loop.toml`
"""

import gc
import importlib.metadata
import sys
from typing import Annotated, NoReturn

import typer

from banditloop.pipelines.cli import (
    cloud,
    config,
    dead_letters,
    policy,
    release,
    run,
    schedule,
)
from banditloop.pipelines.cli.compile import compile_, export_components
from banditloop.pipelines.cli.evaluate import evaluate_
from banditloop.pipelines.cli.import_log import import_
from banditloop.pipelines.cli.init import init
from banditloop.pipelines.cli.loop import loop
from banditloop.pipelines.cli.play import play
from banditloop.pipelines.cli.prune import prune
from banditloop.pipelines.cli.serve import serve
from banditloop.pipelines.cli.status import status, warehouse
from banditloop.pipelines.cli.train import train
from banditloop.pipelines.cli.tune import tune
from banditloop.pipelines.cli.upgrade import repair, upgrade
from banditloop.rl_core.errors import InvalidInput

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for command in (init, loop, train, play, serve, tune, status, warehouse, prune, upgrade, repair, export_components):
    app.command()(command)
app.command(name="compile")(compile_)
app.command(name="import")(import_)
app.command(name="evaluate")(evaluate_)
app.add_typer(run.app, name="run")
app.add_typer(release.app, name="release")
app.add_typer(policy.app, name="policy")
app.add_typer(config.app, name="config")
app.add_typer(schedule.app, name="schedule")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(cloud.app, name="cloud")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"banditloop {importlib.metadata.version('banditloop')}")
        raise typer.Exit


@app.callback(help=__doc__)
def banditloop(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the command line itself."""


def main() -> None:
    """Run the command line. Exit status: 0 success, 1 failure, 2 wrong input."""
    gc.freeze()  # garbage collections then skip everything that was imported
    try:
        app(standalone_mode=True)
    except InvalidInput as error:
        _exit(str(error), 2)
    except OSError as error:  # a PlatformError too
        _exit(str(error), 1)


def _exit(message: str, status: int) -> NoReturn:
    print(f"banditloop: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
