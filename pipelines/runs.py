"""The commands that run a compiled pipeline, and read what a run printed."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import typer

from pipelines import display
from pipelines.options import ConfigOption, JsonOption, ParameterOption, TargetOption, load
from rl_core.backends import connect
from rl_core.config import Config
from rl_core.errors import InvalidInput

LONGEST_PAUSE = 3.0  # platforms count calls


def submit(
    template: Path,
    config: ConfigOption = None,
    param: ParameterOption = [],
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a run of a compiled pipeline and return at once.

    Example: `banditloop submit build/pipelines/retraining.yaml -c loop.toml`
    """
    run_id = _submit(load(config, target), template, param)
    display.show({"run_id": run_id}, as_json, f"submitted {run_id}; `banditloop status` shows how it is doing")


def run(
    template: Path,
    config: ConfigOption = None,
    param: ParameterOption = [],
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a compiled pipeline and wait for it. Exits with 1 when it fails.

    Example: `banditloop run build/pipelines/startup.yaml -p interactions=2000`
    """
    settings = load(config, target)
    run_id, runner = _submit(settings, template, param), connect(settings).runner
    pause = 0.1
    with display.progress(quiet=as_json) as report:
        while (state := runner.state(run_id)) == "running":
            report(f"{run_id}: {runner.explain(run_id)}", None)
            time.sleep(pause := min(1.1 * pause, LONGEST_PAUSE))
    reason = runner.explain(run_id)
    display.show({"run_id": run_id, "state": state, "reason": reason}, as_json, f"{run_id} {state} {reason}".rstrip())
    raise typer.Exit(state != "succeeded")


def logs(run_id: str, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False) -> None:
    """Show what a run printed; or, where the platform keeps that, how its tasks did and where to read it.

    Example: `banditloop logs retraining-v3-0a1b2c3d-1`
    """
    text = connect(load(config, target)).runner.log(run_id)
    display.show({"run_id": run_id, "log": text}, as_json, text)


def _submit(config: Config, template: Path, given: list[str]) -> str:
    from pipelines.compiling import read_parameters

    default = {"config": config.to_dict(), "run_id": f"{template.stem}-{datetime.now(UTC):%Y%m%dt%H%M%S%f}"}
    parameters = default | read_parameters(template, given)
    run_id = parameters["run_id"]
    if not re.fullmatch(r"[\w-]+", run_id) or not connect(config).runner.submit(template, parameters, run_id):
        raise InvalidInput(f"run_id = {run_id!r}: is taken, or not made of letters, digits, - and _")
    return run_id
