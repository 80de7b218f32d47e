"""What the commands take in common."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rl_core.config import ENVIRONMENT_VARIABLE, Config

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help=f"TOML or JSON; else ${ENVIRONMENT_VARIABLE}, else MovieLens on this machine."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
ParameterOption = Annotated[list[str], typer.Option("--param", "-p", metavar="KEY=VALUE", help="A pipeline parameter.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="Folder to write to.")]
ImageOption = Annotated[str | None, typer.Option(help="Container image of every task, if not the config's.")]
DEFAULT_CONFIG = Path(__file__).parent / "configs" / "movielens.toml"


def load(path: Path | None) -> Config:
    """The config that a command works with."""
    if path is None and os.environ.get(ENVIRONMENT_VARIABLE):
        return Config.from_environment()
    return Config.load(path or DEFAULT_CONFIG)
