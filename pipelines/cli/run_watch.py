"""Following a run on the screen until it ends: its tasks, then its version and verdict."""

import shlex
import sys
import time
from collections import Counter
from typing import Annotated, Any

import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.progress import progress
from banditloop.pipelines.cli.table import duration
from banditloop.rl_core.ports import Platform, RunTask

MIN_POLL_SECONDS = 0.1
MAX_POLL_SECONDS = 3.0  # platforms limit the rate of calls
OUR_TASKS = {"trainer", "merger", "evaluator", "deployer"}  # one of which makes, judges or serves a version
INTERRUPTED = 130  # exit status after Ctrl-C
TimeoutOption = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Stop waiting after so long; the run goes on.")
]


def follow(platform: Platform, run_id: str, timeout: float | None, options: list[str], as_json: bool) -> None:
    """Show a run's tasks as they go, wait until it has ended, and show how.

    Ctrl-C and the timeout end the waiting, not the run, and say so. options: of commands about the same loop.

    Raises:
        typer.Exit: with the status 0 if the run has succeeded, else 1; 130 after Ctrl-C.
    """
    try:
        if not as_json:
            display.line(f"{run_id} started {platform.runner.page(run_id)}".rstrip())
        ended = _wait(platform, run_id, timeout, as_json)
    except KeyboardInterrupt:
        _goes_on(run_id, options)
        raise typer.Exit(INTERRUPTED) from None
    if not ended:
        _goes_on(run_id, options)
        raise typer.Exit(1)
    content = outcome(platform, run_id)
    display.json_or_text(content, as_json, _sentence(content))
    raise typer.Exit(content["state"] != "succeeded")


def outcome(platform: Platform, run_id: str) -> dict[str, Any]:
    """How a run stands: state and reason, and the version that it made with the decision about it, "" for none."""
    runner = platform.runner
    content = {"run_id": run_id, "state": runner.state(run_id), "reason": runner.explain(run_id)}
    content |= {"version": "", "decision": "", "verdict": ""}
    if not OUR_TASKS & {task.name for task in runner.tasks(run_id)}:
        return content
    versions = [manifest.version for manifest in platform.endpoint.versions() if manifest.run == run_id]
    verdicts = [verdict for verdict in platform.endpoint.verdicts() if verdict.run == run_id]
    if verdicts:
        last = verdicts[-1]
        return content | {"version": last.version, "decision": last.decision, "verdict": last.reason}
    return content | {"version": versions[-1] if versions else ""}


def _wait(platform: Platform, run_id: str, timeout: float | None, quiet: bool) -> bool:
    """Show the tasks until the run has ended; returns False if the time is over before."""
    runner, pause, shown = platform.runner, MIN_POLL_SECONDS, Counter[str]()
    deadline = None if timeout is None else time.monotonic() + timeout
    with progress(quiet) as report:
        while True:
            running = runner.state(run_id) == "running"
            if not quiet:
                _show_ended(runner.tasks(run_id), shown)
            if not running:
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            report(f"{run_id}: {runner.explain(run_id)}")
            time.sleep(pause := min(1.1 * pause, MAX_POLL_SECONDS))


def _show_ended(tasks: list[RunTask], shown: Counter[str]) -> None:
    """Show the tasks that have ended since the last call; shown: how many were, by name, as loops repeat one."""
    ended = Counter[str]()
    for task in tasks:
        if task.state != "running":
            ended[task.name] += 1
            if ended[task.name] > shown[task.name]:
                display.line(_task_line(task))
    shown |= ended


def _task_line(task: RunTask) -> str:
    took = f" after {duration((task.ended - task.started).total_seconds())}" if task.started and task.ended else ""
    return f"  {task.name} {task.state}{took}"


def _sentence(content: dict[str, Any]) -> str:
    text = f"{content['run_id']} {content['state']} {content['reason']}".rstrip()
    if not content["version"]:
        return text
    verdict = f", {content['decision']}: {content['verdict']}" if content["decision"] else ""
    return f"{text}\nversion {content['version']}{verdict}"


def run_command(verb: str, run_id: str, options: list[str]) -> str:
    """The command that watches or cancels a run, to be copied."""
    return f"`{shlex.join(['banditloop', 'run', verb, run_id, *options])}`"


def _goes_on(run_id: str, options: list[str]) -> None:
    watch, cancel = (run_command(verb, run_id, options) for verb in ("watch", "cancel"))
    print(f"banditloop: {run_id} goes on: {watch} shows it, {cancel} ends it", file=sys.stderr)
