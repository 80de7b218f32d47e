"""What the commands take in common."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rl_core.backend import GoogleBackend, Target
from rl_core.config import ENVIRONMENT_VARIABLE, Config
from rl_core.errors import InvalidInput

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help=f"TOML or JSON; else ${ENVIRONMENT_VARIABLE}, else MovieLens on this machine."),
]
TargetOption = Annotated[
    Target | None, typer.Option(help="Where pipelines run, instead of where the config's backend.runner says.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
ParameterOption = Annotated[list[str], typer.Option("--param", "-p", metavar="KEY=VALUE", help="A pipeline parameter.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="Folder to write to.")]
ImageOption = Annotated[str | None, typer.Option(help="Container image of every task, if not the config's.")]
DEFAULT_CONFIG = Path(__file__).parent / "configs" / "movielens.toml"


def load(path: Path | None, target: Target | None = None) -> Config:
    """The config that a command works with, and runs its pipelines on the target."""
    if path is None and os.environ.get(ENVIRONMENT_VARIABLE):
        config = Config.from_environment()
    else:
        config = Config.load(path or DEFAULT_CONFIG)
    return _on(config, target) if target else config


def _on(config: Config, target: Target) -> Config:
    if isinstance(config.backend, GoogleBackend):
        values = config.to_dict()
        return Config.parse(values | {"backend": values["backend"] | {"runner": target}})
    if target != "local":
        raise InvalidInput(
            f"target = {target!r}: the backend {config.backend.name!r} keeps everything on this machine, where only "
            "'local' pipelines find it"
        )
    return config
