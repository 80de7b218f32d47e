"""The port of pipelines: runs, schedules, and training on machines of the platform."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.config import Config
from banditloop.rl_core.features.encoding import Encoding

RunState = Literal["running", "succeeded", "failed"]
TaskState = Literal["running", "succeeded", "failed"]


class Run(NamedTuple):
    """One run of a pipeline."""

    run_id: str
    state: RunState
    started: datetime
    ended: datetime | None = None  # None while it is running
    reason: str = ""  # of a failure


class RunTask(NamedTuple):
    """A task of a run that has begun."""

    name: str
    state: TaskState
    started: datetime | None
    ended: datetime | None


class RunArtifact(NamedTuple):
    """What a task of a run has written: a model, a dataset, a page, or metrics."""

    task: str
    name: str
    uri: str  # a path or an object-store URI; metrics may have no content there
    metadata: dict[str, Any]  # such as the values of metrics


class Schedule(NamedTuple):
    """A pipeline that is run repeatedly at the times of a cron expression."""

    name: str
    cron: str  # minute, hour, day of the month, month and day of the week, in UTC
    state: Literal["active", "paused"]
    next_run: datetime | None  # None while paused


class Trial(NamedTuple):
    """Settings that a tuning tried, by key such as agent.alpha, and their mean value over the seeds.

    The value is None for a failed trial; its standard error also with less than two seeds, and where the platform does
    not keep it. pruned: ended before its last seed.
    """

    number: int
    parameters: dict[str, Any]
    state: Literal["complete", "pruned", "failed"]
    value: float | None
    standard_error: float | None
    seeds: int | None  # that were measured; None where the platform does not tell


class Runner(Protocol):
    """Runs compiled pipelines, and trains and tunes on behalf of their components."""

    def train(self, config: Config, examples: Path, encoding: Encoding, parent: Path | None, work: Path) -> Statistics:
        """The statistics of the parent policy directory (None: initial ones) updated with a folder of examples.

        They have the shape of `encoding`, which turns contexts into observations and actions into positions.

        Trains in this process or, if the training section asks for it, on machines of the platform. These must be able
        to read `examples`, and keep their checkpoints in the folder `work`.

        Raises:
            PlatformError: the machines failed.
        """

    def trials(self, config: Config, arguments: Sequence[str]) -> list[Trial] | None:
        """Trials of the config's search space on machines of the platform; None: the caller must run them itself.

        arguments: for `python -m banditloop.rl_core.tuning.trial`, which measures one, besides its settings.

        Raises:
            InvalidInput: the platform has no such search.
            PlatformError: the machines failed.
        """

    def submit(self, template: Path, parameters: dict[str, Any], run_id: str) -> bool:
        """Start a run of a compiled pipeline. Returns False, and starts nothing, if `run_id` was used before.

        Raises:
            InvalidInput: the template cannot run, or the parameters are not those it declares.
        """

    def state(self, run_id: str) -> RunState:
        """State of a run; "failed" if its process was killed. InvalidInput: there is no such run."""

    def runs(self) -> list[Run]:
        """The runs, oldest first: all, or the newest hundred where the platform keeps them forever.

        A failure's reason may be the platform's summary; `explain` names the task.
        """

    def remove(self, run_ids: Sequence[str], dry_run: bool = False) -> Sequence[str]:
        """Remove ended runs with their artifacts and logs, and return which: none where the platform keeps its runs.

        dry_run: only return them. InvalidInput: one is running, or there is no such run.
        """

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop; soon after, it has failed with the reason "cancelled". InvalidInput: it is not running."""

    def tasks(self, run_id: str) -> list[RunTask]:
        """The tasks of a run that have begun, in the order in which they began. InvalidInput: there is no such run."""

    def artifacts(self, run_id: str) -> list[RunArtifact]:
        """The artifacts of a run's ended tasks; none where the platform does not tell. InvalidInput: as for `tasks`."""

    def page(self, run_id: str) -> str:
        """URL of the platform's page about a run; empty where there is none. InvalidInput: there is no such run."""

    def explain(self, run_id: str) -> str:
        """One line on a run: its current task while it is running, or the error that made it fail; may be empty."""

    def log(self, run_id: str) -> str:
        """Output of all tasks of a run or, if the platform stores it, their states and where to read the output."""

    def schedule(self, name: str, cron: str, template: Path, parameters: dict[str, Any]) -> None:
        """Run a compiled pipeline with these parameters at the times of `cron`, at most one run at a time.

        Replaces a schedule of the same name, which stays paused if it was. The platform names the runs; `runs` lists
        them.

        Raises:
            InvalidInput: the cron expression, template or parameters are invalid, or the platform has no schedules.
        """

    def schedules(self) -> list[Schedule]:
        """All schedules, sorted by name."""

    def pause(self, name: str) -> None:
        """Start no more runs of a schedule until it is resumed. Idempotent. InvalidInput: there is no such schedule."""

    def resume(self, name: str) -> None:
        """Resume a paused schedule; runs missed meanwhile are skipped. Idempotent. InvalidInput: as for `pause`."""

    def unschedule(self, name: str) -> bool:
        """Remove a schedule; its runs continue. Returns False if there is no such schedule."""
