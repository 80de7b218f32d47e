"""Start a loop of your own, serve it, compile and run its pipelines, and inspect and control what it serves.

Example: `banditloop init news --from log.csv`, then `banditloop serve -c news/loop.toml`

Example: `banditloop status -c loop.toml`
"""

import importlib.metadata
import sys
from typing import Annotated, NoReturn

import typer

from banditloop.pipelines.cli.commands import MARKUP, RootGroup
from banditloop.rl_core.errors import InvalidInput

app = typer.Typer(
    help=__doc__,
    cls=RootGroup,
    no_args_is_help=True,
    rich_markup_mode=MARKUP,
    pretty_exceptions_enable=False,
)


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
    try:
        app(standalone_mode=True)
    except InvalidInput as error:
        _exit(str(error), 2)
    except OSError as error:  # a PlatformError too
        _exit(str(error), 1)


def _exit(message: str, status: int) -> NoReturn:
    print(f"banditloop: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
