"""The commands for pipelines that run at set times, where a platform starts them."""

import re
from pathlib import Path
from typing import Annotated

import typer

from pipelines import display
from pipelines.options import ConfigOption, JsonOption, ParameterOption, TargetOption, load
from rl_core.backends import Runner, connect
from rl_core.errors import InvalidInput

app = typer.Typer(no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="The schedule's name.")]
CronArgument = Annotated[str, typer.Argument(help="Minute, hour, day, month and weekday, in UTC, as '30 3 * * 1-5'.")]


@app.callback()
def schedule() -> None:
    """Run compiled pipelines at set times, on Vertex AI or Kubeflow Pipelines.

    Example: `banditloop schedule create nightly "30 3 * * *" build/pipelines/retraining.yaml -c loop.toml`
    """


@app.command()
def create(
    name: NameArgument,
    cron: CronArgument,
    template: Path,
    config: ConfigOption = None,
    param: ParameterOption = [],
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a compiled pipeline whenever it is time; a schedule of that name is replaced.

    Example: `banditloop schedule create nightly "30 3 * * *" build/pipelines/retraining.yaml`
    """
    from pipelines.compiling import read_parameters

    if not re.fullmatch(r"[\w-]{1,60}", name):
        raise InvalidInput(f"schedule {name!r}: give at most 60 letters, digits, - and _")
    settings = load(config, target)
    parameters = {"config": settings.to_dict(), "run_id": name} | read_parameters(template, param)
    runner = connect(settings).runner
    runner.schedule(name, cron, template, parameters)
    _say(runner, as_json)


@app.command()
def pause(
    name: NameArgument, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """Start no more of its runs until it is resumed.

    Example: `banditloop schedule pause nightly`
    """
    runner = connect(load(config, target)).runner
    runner.pause(name)
    _say(runner, as_json)


@app.command()
def resume(
    name: NameArgument, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """Go on with a schedule that was paused.

    Example: `banditloop schedule resume nightly`
    """
    runner = connect(load(config, target)).runner
    runner.resume(name)
    _say(runner, as_json)


@app.command()
def delete(
    name: NameArgument, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """Remove a schedule. A run that it started goes on.

    Example: `banditloop schedule delete nightly`
    """
    runner = connect(load(config, target)).runner
    if not runner.unschedule(name):
        raise InvalidInput(f"schedule {name!r}: there is no such schedule; `banditloop schedule list` shows all")
    _say(runner, as_json)


@app.command(name="list")
def list_(config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False) -> None:
    """Show all schedules with their next runs.

    Example: `banditloop schedule list --json`
    """
    _say(connect(load(config, target)).runner, as_json)


def _say(runner: Runner, as_json: bool) -> None:
    found = [
        {**schedule._asdict(), "next_run": schedule.next_run and schedule.next_run.isoformat(timespec="minutes")}
        for schedule in runner.schedules()
    ]
    display.rows("schedules", found, as_json)
