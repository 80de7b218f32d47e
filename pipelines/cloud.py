"""The commands that provision the loop on Google Cloud."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines import display
from pipelines.options import ConfigOption, JsonOption, load
from rl_core.backend import GoogleBackend
from rl_core.config import Config
from rl_core.errors import InvalidInput

if TYPE_CHECKING:
    from rl_core.backends.google.provisioning.resource import Resource

app = typer.Typer(no_args_is_help=True)
SimulatorOption = Annotated[bool, typer.Option("--simulator", help="With simulated users: 100 at every tick.")]
LATER = "the loop makes it"
PLANNED = {"there": "is there", "missing": "would be made", "changed": "would be changed", "later": LATER}
DONE = {"there": "is there", "missing": "made", "changed": "changed", "later": LATER}


@app.callback()
def cloud() -> None:
    """Make what the loop needs on Google Cloud, see what is there, or remove it.

    Example: `banditloop cloud plan -c loop.toml`
    """


@app.command()
def plan(config: ConfigOption = None, simulator: SimulatorOption = False, as_json: JsonOption = False) -> None:
    """Show what `up` would make or change, and change nothing.

    Example: `banditloop cloud plan -c loop.toml`
    """
    from rl_core.backends.google.provisioning.steps import look

    _each(_resources(load(config), simulator), lambda resource: PLANNED[look(resource)], as_json)


@app.command()
def up(config: ConfigOption = None, simulator: SimulatorOption = False, as_json: JsonOption = False) -> None:
    """Make what is missing, and mend what somebody has changed. Again, it does nothing.

    Example: `banditloop cloud up -c loop.toml`
    """
    from rl_core.backends.google.provisioning.steps import bring

    _each(_resources(load(config), simulator), lambda resource: DONE[bring(resource)], as_json)


@app.command()
def down(
    everything: Annotated[bool, typer.Option("--data", help="With dataset and bucket: all that was learned.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what `up` and the loop have made, but for dataset and bucket. Again, it does nothing.

    Example: `banditloop cloud down -c loop.toml`
    """
    from rl_core.backends.google.provisioning import HOLD_WHAT_WAS_LEARNED
    from rl_core.backends.google.provisioning.steps import take_away

    settings = load(config)
    resources, kept = _resources(settings, simulator=True), () if everything else HOLD_WHAT_WAS_LEARNED
    if not yes:
        lost = ", and all that was learned" if everything else ""
        typer.confirm(f"Remove what is around endpoint {settings.backend.endpoint}{lost}?", abort=True, err=True)
    _each(resources[::-1], lambda resource: take_away(resource, isinstance(resource, kept)), as_json)


def _each(resources: "list[Resource]", act: "Callable[[Resource], str]", as_json: bool) -> None:
    """Act on one after the other, and show what came of it."""
    rows = []
    with display.progress(quiet=as_json) as report:
        for number, resource in enumerate(resources):
            report(str(resource), number / len(resources))
            rows.append({"resource": str(resource), "state": act(resource)})
    display.rows("cloud", rows, as_json)


def _resources(config: Config, simulator: bool) -> "list[Resource]":
    """What the loop needs there, in the order in which it is made."""
    backend = config.backend
    if not isinstance(backend, GoogleBackend):
        raise InvalidInput(f"backend.name = {backend.name!r}: nothing is provisioned there; give one with 'google'")
    from pipelines.compiling import compile_pipelines
    from rl_core.backends.google.provisioning import resources

    with tempfile.TemporaryDirectory() as folder:
        files = {path.name: path.read_bytes() for path in compile_pipelines(Path(folder), config)}
    return resources(config, files, simulator)
