"""The commands of the command line, each imported when it is asked for: one starts without what the others need."""

import gc
from functools import lru_cache
from typing import Any

import typer
from typer.core import TyperGroup

from banditloop.rl_core.settings.registry import Registry

COMMANDS = {  # functions of single commands, and apps of groups, in modules beside this one
    "init": "init:init",
    "loop": "loop:loop",
    "train": "train:train",
    "play": "play:play",
    "serve": "serve:serve",
    "tune": "tune:tune",
    "status": "status:status",
    "warehouse": "status:warehouse",
    "prune": "prune:prune",
    "upgrade": "upgrade:upgrade",
    "repair": "upgrade:repair",
    "export-components": "compile:export_components",
    "compile": "compile:compile_",
    "import": "import_log:import_",
    "evaluate": "evaluate:evaluate_",
    "run": "run:app",
    "release": "release:app",
    "policy": "policy:app",
    "config": "config:app",
    "schedule": "schedule:app",
    "dead-letters": "dead_letters:app",
    "cloud": "cloud:app",
}
MARKUP: Any = "markdown"  # of help texts


class Commands(Registry[Any]):
    """The commands by name, as Typer makes them."""

    def __getitem__(self, name: str) -> Any:
        part: Any = super().__getitem__(name)
        return _command(name, part)


class RootGroup(TyperGroup):
    """All commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes | {"commands": Commands(__package__, COMMANDS)})


@lru_cache
def _command(name: str, part: Any) -> Any:
    """The command of a function or of an app, whose module was imported."""
    gc.freeze()  # garbage collections then skip everything that was imported
    app = typer.Typer(rich_markup_mode=MARKUP, add_completion=False)
    if not isinstance(part, typer.Typer):
        app.command(name=name)(part)
        return typer.main.get_command(app)
    app.add_typer(part, name=name)
    return typer.main.get_group(app).commands[name]
