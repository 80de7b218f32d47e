"""The commands for pipelines that the platform runs at set times."""

import re
from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import (
    ConfigOption,
    JsonOption,
    ParameterOption,
    TargetOption,
    TemplateArgument,
    group,
    load_config,
)
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import Runner

app = group()
NameArgument = Annotated[str, typer.Argument(help="The schedule's name.")]
CronArgument = Annotated[
    str, typer.Argument(help="Minute, hour, day of month, month and day of week in UTC, as '30 3 * * 1-5'.")
]


@app.callback()
def schedule() -> None:
    """Run compiled pipelines at set times, on Vertex AI or Kubeflow Pipelines.

    Example: `banditloop schedule create nightly "30 3 * * *" build/pipelines/retraining.yaml -c loop.toml`

    Example: `banditloop schedule pause nightly -c loop.toml`
    """


@app.command()
def create(
    name: NameArgument,
    cron: CronArgument,
    template: TemplateArgument,
    config: ConfigOption = None,
    param: ParameterOption = [],
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create or replace a schedule of a compiled pipeline.

    Example: `banditloop schedule create nightly "30 3 * * *" build/pipelines/retraining.yaml`
    """
    from banditloop.pipelines.compile import read_parameters

    if not re.fullmatch(r"[\w-]{1,60}", name):
        raise InvalidInput(f"schedule {name!r}: give at most 60 letters, digits, - and _")
    settings = load_config(config, target)
    parameters = {"config": settings.to_dict(), "run_id": name} | read_parameters(template, param)
    runner = connect(settings).runner
    runner.schedule(name, cron, template, parameters)
    _show(runner, as_json)


@app.command()
def pause(
    name: NameArgument, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """Start no more runs of a schedule until it is resumed.

    Example: `banditloop schedule pause nightly`
    """
    runner = connect(load_config(config, target)).runner
    runner.pause(name)
    _show(runner, as_json)


@app.command()
def resume(
    name: NameArgument, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """Resume a paused schedule. Runs missed meanwhile are not made up for.

    Example: `banditloop schedule resume nightly`
    """
    runner = connect(load_config(config, target)).runner
    runner.resume(name)
    _show(runner, as_json)


@app.command()
def delete(
    name: NameArgument, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """Delete a schedule. Runs that it has started continue.

    Example: `banditloop schedule delete nightly`
    """
    runner = connect(load_config(config, target)).runner
    if not runner.unschedule(name):
        raise InvalidInput(f"schedule {name!r}: there is no such schedule; `banditloop schedule list` shows all")
    _show(runner, as_json)


@app.command(name="list")
def list_(config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False) -> None:
    """List all schedules with their next runs.

    Example: `banditloop schedule list --json`
    """
    _show(connect(load_config(config, target)).runner, as_json)


def _show(runner: Runner, as_json: bool) -> None:
    rows = [
        {**schedule._asdict(), "next_run": schedule.next_run and schedule.next_run.isoformat(timespec="minutes")}
        for schedule in runner.schedules()
    ]
    display.table("schedules", rows, as_json)
