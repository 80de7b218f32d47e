"""The commands that run compiled pipelines and show their runs."""

import re
from typing import Annotated

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.names import find_run
from banditloop.pipelines.cli.options import (
    ConfigOption,
    JsonOption,
    ParameterOption,
    TargetOption,
    TemplateArgument,
    WideOption,
    group,
    load_config,
    same_loop,
)
from banditloop.pipelines.cli.run_artifacts import artifacts
from banditloop.pipelines.cli.run_submit import DryRunOption, ParameterFileOption, check_submission
from banditloop.pipelines.cli.run_watch import TimeoutOption, follow, outcome, run_command
from banditloop.rl_core.backends import connect
from banditloop.rl_core.reports.runs import run_row, task_row

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
RunArgument = Annotated[str, typer.Argument(help="The run's id, or its first characters.")]
MAIN_COLUMNS = "run_id", "state", "started", "seconds", "reason"
app = group()


@app.callback()
def run() -> None:
    """Run compiled pipelines, and show runs with their tasks, artifacts and logs.

    Example: `banditloop run start build/pipelines/startup.yaml -c loop.toml`

    Example: `banditloop run show retraining-v3`
    """


@app.command()
def submit(
    template: TemplateArgument,
    config: ConfigOption = None,
    param: ParameterOption = [],
    parameters: ParameterFileOption = None,
    dry_run: DryRunOption = False,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a run of a compiled pipeline and return immediately.

    Example: `banditloop run submit build/pipelines/retraining.yaml -c loop.toml`
    """
    settings = load_config(config, target)
    submission = check_submission(settings, template, parameters, param)
    if dry_run:
        return submission.show(as_json)
    run_id, page = submission.run_id, submission.submit(settings)
    watch = run_command("watch", run_id, same_loop(config, target))
    text = f"submitted {run_id}; {watch} shows how it goes" + (f"\n{page}" if page else "")
    display.json_or_text({"run_id": run_id, "page": page}, as_json, text)


@app.command()
def start(
    template: TemplateArgument,
    config: ConfigOption = None,
    param: ParameterOption = [],
    parameters: ParameterFileOption = None,
    dry_run: DryRunOption = False,
    timeout: TimeoutOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a run of a compiled pipeline, show its tasks as they go, and wait for it.

    The exit status is 1 if the run fails, or has not ended within the timeout. Ctrl-C ends the waiting, not the run.

    Example: `banditloop run start build/pipelines/startup.yaml -p interactions=2000`
    """
    settings = load_config(config, target)
    submission = check_submission(settings, template, parameters, param)
    if dry_run:
        return submission.show(as_json)
    submission.submit(settings)
    follow(connect(settings), submission.run_id, timeout, same_loop(config, target), as_json)


@app.command()
def watch(
    run_id: RunArgument,
    timeout: TimeoutOption = None,
    config: ConfigOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the tasks of a run as they go, and wait until it has ended. The exit status is 1 if it fails.

    Example: `banditloop run watch retraining-v3`
    """
    platform = connect(load_config(config, target))
    follow(platform, find_run(platform.runner, run_id), timeout, same_loop(config, target), as_json)


@app.command()
def cancel(
    run_id: RunArgument, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """Ask a running run to stop. What it has done stays done, and the trigger starts another run for the rest.

    Example: `banditloop run cancel retraining-v3`
    """
    runner = connect(load_config(config, target)).runner
    runner.cancel(name := find_run(runner, run_id))
    display.json_or_text({"run_id": name}, as_json, f"{name} is being cancelled")


@app.command(name="list")
def list_(
    wide: WideOption = False, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """List all runs with state, duration and the reason of failures, oldest first.

    Example: `banditloop run list --json`
    """
    rows = [run_row(run) for run in connect(load_config(config, target)).runner.runs()]
    if not (wide or as_json):
        rows = [{key: row[key] for key in MAIN_COLUMNS} for row in rows]
    display.table("runs", rows, as_json, wide)


@app.command()
def show(
    run_id: RunArgument, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """Show one run: its state, its tasks with their durations, and the version that it made.

    Example: `banditloop run show retraining-v3`
    """
    platform = connect(load_config(config, target))
    name = find_run(platform.runner, run_id)
    [row] = [run_row(run) for run in platform.runner.runs() if run.run_id == name]
    content = row | outcome(platform, name) | {"page": platform.runner.page(name)}
    tasks = [task_row(task) for task in platform.runner.tasks(name)]
    if as_json:
        return display.json_or_text(content | {"tasks": tasks}, True, "")
    display.key_values(
        f"run {name}", {key: value for key, value in content.items() if value and key != "run_id"}, False
    )
    display.table("tasks", [{key: task[key] for key in ("task", "state", "started", "seconds")} for task in tasks])


app.command()(artifacts)


@app.command()
def logs(
    run_id: RunArgument, config: ConfigOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """Show the output of a run's tasks; on platforms that keep it, the tasks' states and where to read it.

    Example: `banditloop run logs retraining-v3`
    """
    runner = connect(load_config(config, target)).runner
    name = find_run(runner, run_id)
    text = COLOUR.sub("", runner.log(name))
    display.json_or_text({"run_id": name, "log": text}, as_json, text)
