"""Runs of pipelines as rows of tables, for the terminal and JSON."""

from datetime import UTC, datetime
from typing import Any

from banditloop.rl_core.ports import Run, RunTask


def run_row(run: Run) -> dict[str, Any]:
    """One run: run_id, state, started and ended (ISO 8601), seconds so far, and the reason of a failure."""
    return {"run_id": run.run_id, "state": run.state, **_times(run.started, run.ended), "reason": run.reason}


def task_row(task: RunTask) -> dict[str, Any]:
    """One task of a run: task, state, started and ended (ISO 8601), and seconds so far."""
    return {"task": task.name, "state": task.state, **_times(task.started, task.ended)}


def _times(started: datetime | None, ended: datetime | None) -> dict[str, Any]:
    seconds = ((ended or datetime.now(UTC)) - started).total_seconds() if started else None
    return {
        "started": started and started.isoformat(timespec="seconds"),
        "ended": ended and ended.isoformat(timespec="seconds"),
        "seconds": None if seconds is None else round(max(0.0, seconds), 1),
    }
