"""The commands that provision the loop on Google Cloud."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.confirm import YesOption, confirm
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, group, load_config
from banditloop.pipelines.cli.progress import progress
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Resource
from banditloop.rl_core.settings.backend import GoogleBackend

app = group()
SimulatorOption = Annotated[bool, typer.Option("--simulator", help="Also simulate users: 100 every five minutes.")]
Report = Callable[[str], None]
DEFERRED = "created by the loop"
# a resource that is absent, as it should be, has no row
PLANNED = {"present": "exists", "missing": "to be created", "changed": "to be updated", "deferred": DEFERRED}
PLANNED |= {"obsolete": "to be removed", "absent": ""}
APPLIED = {"present": "exists", "missing": "created", "changed": "updated", "deferred": DEFERRED}
APPLIED |= {"obsolete": "removed", "absent": ""}


@app.callback()
def cloud() -> None:
    """Create, inspect and remove the loop's resources on Google Cloud.

    Example: `banditloop cloud plan -c loop.toml`

    Example: `banditloop cloud up -c loop.toml`
    """


@app.command()
def plan(config: ConfigOption = None, simulator: SimulatorOption = False, as_json: JsonOption = False) -> None:
    """Show what `up` would create, update or remove, without changing anything.

    Example: `banditloop cloud plan -c loop.toml`
    """
    from banditloop.rl_core.backends.google.provisioning.apply import probe

    settings = load_config(config)
    resources = _resources(settings, simulator)
    _warn(settings)
    _for_each(resources, lambda resource, _: PLANNED[probe(resource)], as_json)


@app.command()
def up(config: ConfigOption = None, simulator: SimulatorOption = False, as_json: JsonOption = False) -> None:
    """Create missing resources, restore changed ones and remove what a changed config no longer needs. Idempotent.

    Example: `banditloop cloud up -c loop.toml`
    """
    from banditloop.rl_core.backends.google.provisioning.apply import apply

    settings = load_config(config)
    resources = _resources(settings, simulator)
    _warn(settings)
    _for_each(resources, lambda resource, report: APPLIED[apply(resource, report)], as_json)


@app.command()
def down(
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Also delete the dataset and the bucket: all events and policies.")
    ] = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove the loop's resources except the dataset and the bucket. Idempotent.

    Example: `banditloop cloud down -c loop.toml`
    """
    from banditloop.rl_core.backends.google.provisioning import DATA_RESOURCES
    from banditloop.rl_core.backends.google.provisioning.apply import destroy

    settings = load_config(config)
    resources, kept = _resources(settings, simulator=True), () if delete_data else DATA_RESOURCES
    data = ", and all of its events and policies" if delete_data else ""
    confirm(f"the resources of endpoint {settings.backend.endpoint}{data} are removed", yes)
    _for_each(resources[::-1], lambda resource, _: destroy(resource, isinstance(resource, kept)), as_json)


def _warn(config: Config) -> None:
    """Tell on standard error what would make a deployment fail later."""
    from banditloop.rl_core.backends.google.provisioning.image import warnings

    assert isinstance(config.backend, GoogleBackend)
    for warning in warnings(config.backend):
        typer.echo(f"warning: {warning}", err=True)


def _for_each(resources: list[Resource], action: Callable[[Resource, Report], str], as_json: bool) -> None:
    """Apply an action to one resource after the other, and show its progress and the resulting states."""
    rows = []
    with progress(quiet=as_json) as report:
        for number, resource in enumerate(resources):
            shown = partial(report, done=number, total=len(resources))
            shown(str(resource))
            if state := action(resource, shown):
                rows.append({"resource": str(resource), "state": state})
    display.table("cloud", rows, as_json)


def _resources(config: Config, simulator: bool) -> list[Resource]:
    """The resources that the loop needs, in the order of creation."""
    from banditloop.pipelines.compile import compile_pipelines

    with tempfile.TemporaryDirectory() as folder:
        files = {path.name: path.read_bytes() for path in compile_pipelines(Path(folder), config)}
    return connect(config).resources(files, simulator)
