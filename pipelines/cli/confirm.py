"""Asking before what a command cannot take back."""

import sys
from typing import Annotated

import typer

from banditloop.rl_core.errors import InvalidInput

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(change: str, yes: bool) -> None:
    """Say on stderr what will happen and, unless `yes`, ask whether it should.

    Raises:
        InvalidInput: nobody can be asked, since there is no terminal.
        typer.Abort: the answer is no.
    """
    if not yes and not sys.stdin.isatty():
        raise InvalidInput(f"{change}: nothing was changed; give --yes to do it without being asked")
    typer.echo(f"{change}.", err=True)
    if not yes:
        typer.confirm("Go on?", abort=True, err=True)
