"""What the folder of a run on this machine tells: its outcome, its tasks, and their artifacts."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from banditloop.rl_core.backends.local.files import write_atomically
from banditloop.rl_core.ports import RunArtifact, RunState, RunTask, TaskState

CANCEL, OUTCOME, LOG, ARTIFACTS = "cancel", "outcome.json", "log.txt", "artifacts"
CANCELLED = "cancelled"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
TASK_LINE = re.compile(
    r"^([\d:.]+) - \w+ - (Executing task|Task) '([^']+)'(?: finished with status (\w+))?", re.MULTILINE
)
ENDED: dict[str, TaskState] = {"SUCCESS": "succeeded", "FAILURE": "failed"}


class Outcome(NamedTuple):
    """The end of a run: succeeded or failed, and the reason."""

    state: RunState
    reason: str  # of a failure

    def write(self, folder: Path) -> None:
        """Write it as the outcome of the run in a folder."""
        write_atomically(folder / OUTCOME, json.dumps(self._asdict()))


def outcome(folder: Path) -> Outcome | None:
    """How a run ended; None if it has not, or was killed."""
    try:
        content = json.loads((folder / OUTCOME).read_bytes())
        return Outcome(content["state"], content["reason"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return Outcome("failed", f"{folder / OUTCOME} is damaged; `banditloop run logs {folder.name}` may tell more")


def ended(folder: Path) -> datetime:
    """When a run ended or was killed: the time of its last file."""
    last = next(path for path in (folder / OUTCOME, folder / LOG, folder) if path.exists())
    return datetime.fromtimestamp(last.stat().st_mtime, UTC)


def plain_log(folder: Path) -> str:
    """What the tasks have printed, without the colours of KFP."""
    log = folder / LOG
    return COLOUR.sub("", log.read_text(errors="replace")) if log.exists() else ""


def tasks(folder: Path, started: datetime, running: bool) -> list[RunTask]:
    """The tasks that have begun, by the lines that KFP prints about them, which have a time of the day.

    The iterations of a ParallelFor share one name, and KFP loses some of their last lines. In a run that
    has ended, a task without one has succeeded if the run has, else failed.
    """
    ended = outcome(folder)
    without_line: TaskState = "succeeded" if ended and ended.state == "succeeded" else "failed"
    run_tasks: list[RunTask] = []
    at = started
    for time, event, name, status in TASK_LINE.findall(plain_log(folder)):
        at = _after(at, time)  # no line is older than the one before it
        if event != "Task":
            run_tasks.append(RunTask(name, "running" if running else without_line, at, None))
        elif begun := [i for i, task in enumerate(run_tasks) if status and task.name == name and task.ended is None]:
            run_tasks[begun[0]] = run_tasks[begun[0]]._replace(state=ENDED.get(status, "failed"), ended=at)
    return run_tasks


def artifacts(folder: Path) -> list[RunArtifact]:
    """The artifacts of the tasks that have ended, by what KFP's executor writes about them."""
    written = sorted((folder / ARTIFACTS).glob("*/**/executor_output.json"), key=lambda path: path.stat().st_mtime)
    return [artifact for path in written for artifact in _of_task(path)]


def _of_task(path: Path) -> list[RunArtifact]:
    try:
        outputs: dict[str, Any] = json.loads(path.read_bytes()).get("artifacts", {})
    except ValueError:  # a task that is writing it, or was killed while it did
        return []
    return [
        RunArtifact(path.parent.name, name, artifact.get("uri", ""), artifact.get("metadata", {}))
        for name, listed in outputs.items()
        for artifact in listed["artifacts"]
    ]


def _after(started: datetime, time: str) -> datetime:
    """The first moment after the start that has this time of the day, such as 23:53:27.488."""
    begin = started.astimezone()
    clock = datetime.strptime(time, "%H:%M:%S.%f").time()
    at = datetime.combine(begin.date(), clock, begin.tzinfo)
    return (at if at >= begin - timedelta(minutes=1) else at + timedelta(days=1)).astimezone(UTC)
