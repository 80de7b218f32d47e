"""Options that several commands share, and the config that they select."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.backend import Target
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE, read_values, values_from_environment

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help=f"TOML or JSON file. Default: ${ENVIRONMENT_VARIABLE}, else MovieLens on this machine.",
    ),
]
TargetOption = Annotated[
    Target | None, typer.Option(help="Where pipelines run; overrides the config's backend.runner.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
WideOption = Annotated[bool, typer.Option("--wide", help="Show all columns, without wrapping.")]
ParameterOption = Annotated[
    list[str], typer.Option("--param", "-p", metavar="KEY=VALUE", help="Pipeline parameter; may be repeated.")
]
TemplateArgument = Annotated[Path, typer.Argument(help="The compiled pipeline, a YAML file.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="Folder to write to.")]
ImageOption = Annotated[str | None, typer.Option(help="Container image of all tasks; overrides the config's.")]
BUNDLED = Path(__file__).resolve().parents[1] / "configs"  # whose relative paths belong to the working directory
DEFAULT_CONFIG = BUNDLED / "movielens.toml"


def group() -> typer.Typer:
    """A group of commands, whose callback's docstring is its help."""
    return typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


def load_config(path: Path | None, target: Target | None = None) -> Config:
    """The config of a file, else of the environment variable, else the default one; with pipelines run on `target`."""
    if _from_environment(path):
        config = Config.from_environment()
    elif path and path.resolve().parent != BUNDLED:
        config = Config.load(path)
    else:
        config = Config.parse(read_values(path or DEFAULT_CONFIG))
    return _with_target(config, target) if target else config


def same_loop(config: Path | None, target: Target | None) -> list[str]:
    """The options that make a command, copied, concern the same loop."""
    return [*(["-c", str(config)] if config else []), *(["--target", target] if target else [])]


def load_values(path: Path | None) -> tuple[Any, Literal["file", "environment"]]:
    """The values that the config is parsed from, and their source."""
    if _from_environment(path):
        return values_from_environment(), "environment"
    return read_values(path or DEFAULT_CONFIG), "file"


def _from_environment(path: Path | None) -> bool:
    return path is None and bool(os.environ.get(ENVIRONMENT_VARIABLE))


def _with_target(config: Config, target: Target) -> Config:
    if target not in config.backend.RUNNERS:
        raise InvalidInput(
            f"target = {target!r}: the backend {config.backend.name!r} keeps its data on this machine, which only "
            "'local' pipelines can reach"
        )
    if config.backend.RUNNERS == ("local",):
        return config
    values = config.to_dict()
    return Config.parse(values | {"backend": values["backend"] | {"runner": target}})
