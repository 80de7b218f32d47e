"""The four ports a platform must offer, and the one place that connects them.

The docstrings here are the contract: tests/ports holds every backend to them.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import pyarrow as pa

from rl_core.backend import GoogleBackend
from rl_core.config import Config
from rl_core.manifest import Manifest, Window, read_manifest
from rl_core.release import Release, Verdict
from rl_core.split import Part

# Where Vertex AI's contract does not say otherwise.
PREDICT_ROUTE, REWARD_ROUTE, HEALTH_ROUTE = "/predict", "/reward", "/health"
Handler = Callable[[list[bytes]], object]
RunState = Literal["running", "succeeded", "failed"]


class Run(NamedTuple):
    """One run of a pipeline."""

    run_id: str
    state: RunState
    started: datetime


class Schedule(NamedTuple):
    """A pipeline that runs again and again."""

    name: str
    cron: str  # minute, hour, day of the month, month and day of the week, in UTC
    state: Literal["active", "paused"]
    next_run: datetime | None  # None while it is paused


class LogCounts(NamedTuple):
    """What came of the events that the warehouse was given."""

    received: dict[str, int]  # per table
    duplicate: dict[str, int]  # of them, whose key was there before; the others are the table's rows
    late: int  # rewards earned or logged after the window of their decision: kept, and not learned from
    dangling: int  # rewards whose decision has not come


class Warehouse(Protocol):
    """Every decision and every reward, each exactly once by its key."""

    def append(self, table: str, events: pa.Table) -> int:
        """Add events to `decisions` or `rewards` and return how many were new.

        An event whose key the table holds, from within a day of its timestamp, is not added again. All of the new
        ones become visible at once or, after a crash, none. Any number of processes may append and read at a time.
        """

    def window(self, since: datetime | None) -> Window:
        """The longest complete stretch of interactions logged after `since`.

        Complete means that rewards had their time to arrive: the reward window has passed since the decision was
        logged, or the first reward, where that is the one that counts, is there. Windows that start where the last
        one ended miss nothing and repeat nothing.
        """

    def interactions(self, window: Window, part: Part | None = None) -> Iterator[pa.RecordBatch]:
        """The interactions of a window, or of a part of it, in batches of schema INTERACTION, never all in memory.

        The decisions of shadows, which nobody saw, are none of them; nor are deferred ones that were not activated
        within the reward window. A reward counts that was earned, and logged, within the window after its decision was;
        so what was read once stays as it is.
        """

    def totals(self) -> list[dict[str, Any]]:
        """Per policy version, in order of appearance: version, interactions, rewarded, mean_reward, shadowed."""

    def counts(self) -> LogCounts:
        """What came of all that was ever appended, exact whatever was killed meanwhile."""


class Bus(Protocol):
    """At-least-once messages between processes that may die at any moment."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Keep a message until it is handled. When this returns, the message survives the process."""

    def receiving(self, topics: Sequence[str]) -> AbstractContextManager[None]:
        """While it lasts, messages of these topics are on their way to this process before it asks for them.

        `deliver` hands over what has come. What has come and was not handed over comes again at once, to whoever
        asks, when it ends.
        """

    def deliver(self, topic: str, handler: Handler) -> int:
        """Hand the waiting messages to `handler` and return how many it was given.

        They are gone when it returns. When it raises on several, each is handed over again alone. One that raises
        InvalidInput goes to the dead letters with the reason; after any other error, and when its process died, a
        message comes again after a lease, as often as it takes.
        """

    def give_up(self, topic: str, reason: str, payload: bytes) -> None:
        """Keep a message that cannot be handled among the dead letters."""

    def dead_letters(self, topic: str) -> list[tuple[str, bytes]]:
        """The messages that were given up, each as (reason, payload)."""

    def replay(self, topic: str) -> int:
        """Hand the dead letters of a topic over again, as new messages, and return how many there were."""


class Vitals(NamedTuple):
    """How a version has done in the serving process, since that loaded it."""

    decisions: int
    failures: int
    milliseconds: float  # that 95 % of its answers took at most


class Endpoint(Protocol):
    """One name that answers predictions, with immutable policy versions and a release that says who answers."""

    def add(self, folder: Path) -> str:
        """Keep the policy of a directory as a version that answers nobody yet, and return the version.

        Adding a version again changes nothing. Nothing changes either when the policy is not whole.
        """

    def names(self) -> list[str]:
        """All endpoints there are. A loop has one."""

    def versions(self) -> list[Manifest]:
        """The manifests of all versions, oldest first."""

    def release(self) -> Release | None:
        """Who answers; None before anybody does."""

    def move(self, before: Release | None, after: Release, verdict: Verdict | None = None) -> bool:
        """Replace the release `before` by `after`, and keep the verdict that led to it.

        False, and nothing changes, where the release is not `before` any more: then somebody else has moved.
        """

    def record(self, verdict: Verdict) -> None:
        """Keep a verdict that moves nothing."""

    def verdicts(self) -> list[Verdict]:
        """All verdicts, oldest first."""

    def vitals(self) -> dict[str, Vitals]:
        """How the versions that answer are doing; empty while the endpoint is down."""

    def policy(self, version: str) -> Path:
        """The directory of a version."""

    def serving(self) -> list[str]:
        """The versions that would answer at this moment: none while the endpoint is down."""

    def announce(self, url: str) -> None:
        """Tell where the serving process listens, on a platform that leaves this to us."""

    def predict(self, instances: list[Any]) -> list[dict[str, Any]]:
        """The endpoint's predictions, one for each instance."""


class Runner(Protocol):
    """Runs compiled pipelines."""

    def submit(self, template: Path, parameters: dict[str, Any], run_id: str) -> bool:
        """Start a run of a compiled template. False, and nothing is started, where `run_id` was taken before."""

    def state(self, run_id: str) -> RunState:
        """How a run is doing. A run whose process was killed has failed."""

    def runs(self) -> list[Run]:
        """All runs, oldest first."""

    def explain(self, run_id: str) -> str:
        """What a run says of itself: its last task, or the error that ended it."""

    def log(self, run_id: str) -> str:
        """All that a run's tasks have printed; or, where the platform keeps that, how they did and where to read it."""

    def schedule(self, name: str, cron: str, template: Path, parameters: dict[str, Any]) -> None:
        """Run a compiled template with these parameters whenever `cron` says, one run at a time.

        A schedule of that name is replaced, and stays paused if it was. The platform names its runs, which are among
        the others. InvalidInput: the expression is none, or nothing here runs at set times.
        """

    def schedules(self) -> list[Schedule]:
        """All schedules, by name."""

    def pause(self, name: str) -> None:
        """Start no more runs of a schedule until it is resumed."""

    def resume(self, name: str) -> None:
        """Go on with a schedule that was paused. What it missed is not made up for."""

    def unschedule(self, name: str) -> bool:
        """Remove a schedule. False, where there is none. A run that it started goes on."""


@dataclass(frozen=True)
class Platform:
    """The four ports, connected, and a folder for what a process of this machine keeps over its death."""

    warehouse: Warehouse
    bus: Bus
    endpoint: Endpoint
    runner: Runner
    scratch: Path


def connect(config: Config) -> Platform:
    """The ports of the backend that the config chooses."""
    if isinstance(config.backend, GoogleBackend):
        from rl_core.backends.google import connect_google

        return connect_google(config)
    from rl_core.backends.local import connect_local

    return connect_local(config)


def fetched(uri: str, scratch: Path) -> Path:
    """The directory at a path or, copied to this machine, in a bucket, where it must never change."""
    if not uri.startswith("gs://"):
        return Path(uri)
    from rl_core.backends.google.objects import fetch

    return fetch(uri, scratch / "served" / sha256(uri.encode()).hexdigest()[:16])


@functools.cache
def connected() -> tuple[Config, Platform]:
    """$BANDITLOOP_CONFIG and its platform, for a function: connected when its first event comes."""
    from rl_core.backends.service import log_as_json

    log_as_json()
    config = Config.from_environment()
    return config, connect(config)


def champion(endpoint: Endpoint) -> Manifest | None:
    """The version that answers, or None before anything does."""
    release = endpoint.release()
    return read_manifest(endpoint.policy(release.champion)) if release else None


def newest(endpoint: Endpoint) -> Manifest | None:
    """The version that learned last of those behind the release: the next training goes on from it."""
    release = endpoint.release()
    return read_manifest(endpoint.policy(release.challenger or release.champion)) if release else None
