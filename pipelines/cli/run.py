"""The commands that run compiled pipelines and show their runs."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path
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
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput

MIN_POLL_SECONDS = 0.1
MAX_POLL_SECONDS = 3.0  # platforms limit the rate of calls
RunArgument = Annotated[str, typer.Argument(help="The run's id.")]
app = group()


@app.callback()
def run() -> None:
    """Run compiled pipelines, and show runs and their logs.

    Example: `banditloop run start build/pipelines/startup.yaml -c loop.toml`

    Example: `banditloop run logs retraining-v3-0a1b2c3d-1`
    """


@app.command()
def submit(
    template: TemplateArgument,
    config: ConfigOption = None,
    param: ParameterOption = [],
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a run of a compiled pipeline and return immediately.

    Example: `banditloop run submit build/pipelines/retraining.yaml -c loop.toml`
    """
    run_id = _submit(load_config(config, target), template, param)
    display.json_or_text({"run_id": run_id}, as_json, f"submitted {run_id}; `banditloop run list` shows its state")


@app.command()
def start(
    template: TemplateArgument,
    config: ConfigOption = None,
    param: ParameterOption = [],
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a run of a compiled pipeline and wait for it.

    The exit status is 1 if the run fails.

    Example: `banditloop run start build/pipelines/startup.yaml -p interactions=2000`
    """
    settings = load_config(config, target)
    run_id, runner = _submit(settings, template, param), connect(settings).runner
    pause = MIN_POLL_SECONDS
    with display.progress(quiet=as_json) as report:
        while (state := runner.state(run_id)) == "running":
            report(f"{run_id}: {runner.explain(run_id)}", None)
            time.sleep(pause := min(1.1 * pause, MAX_POLL_SECONDS))
    reason = runner.explain(run_id)
    content = {"run_id": run_id, "state": state, "reason": reason}
    display.json_or_text(content, as_json, f"{run_id} {state} {reason}".rstrip())
    raise typer.Exit(state != "succeeded")


@app.command(name="list")
def list_(config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False) -> None:
    """List all runs with their states, oldest first.

    Example: `banditloop run list --json`
    """
    runs = connect(load_config(config, target)).runner.runs()
    rows = [run._asdict() | {"started": run.started.isoformat(timespec="seconds")} for run in runs]
    display.table("runs", rows, as_json)


@app.command()
def logs(
    run_id: RunArgument, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """Show the output of a run's tasks; on platforms that keep it, the tasks' states and where to read it.

    Example: `banditloop run logs retraining-v3-0a1b2c3d-1`
    """
    text = connect(load_config(config, target)).runner.log(run_id)
    display.json_or_text({"run_id": run_id, "log": text}, as_json, text)


def _submit(config: Config, template: Path, arguments: list[str]) -> str:
    from banditloop.pipelines.compile import read_parameters
    from banditloop.rl_core.promotion.start import check_start

    default = {"config": config.to_dict(), "run_id": f"{template.stem}-{datetime.now(UTC):%Y%m%dt%H%M%S%f}"}
    parameters = default | read_parameters(template, arguments)
    run_id = parameters["run_id"]
    if not re.fullmatch(r"[\w-]+", run_id):
        raise InvalidInput(f"run_id = {run_id!r}: give letters, digits, - and _ only")
    platform = connect(config)
    if config.backend.process_folder():  # elsewhere the first component checks: platforms answer slowly
        check_start(config, platform)
    if not platform.runner.submit(template, parameters, run_id):
        raise InvalidInput(f"run_id = {run_id!r}: a run of this id exists already; give another")
    return run_id
