"""The whole loop on one machine: startup, then rounds of traffic and retraining."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from functions.monitor import watch
from functions.simulator import Visit, simulate
from functions.trigger import tick
from pipelines.compiling import compile_pipelines
from rl_core.backends import Platform
from rl_core.config import Config
from rl_core.manifest import RANDOM

USERS_AT_ONCE = 50
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 120
ATTEMPTS = 2
Report = Callable[[str, float], object]  # what goes on, and how much of it is done, 0 to 1


class LoopFailed(RuntimeError):
    """The loop cannot go on: a pipeline failed again and again, or events do not arrive."""


def start(config: Config, platform: Platform, interactions: int, seed: int, report: Report) -> None:
    """Compile the pipelines and, where nothing was trained yet, run startup."""
    template, _ = compile_pipelines(Path(config.trigger.template).parent, config)
    parameters = {"config": config.to_dict(), "interactions": interactions, "seed": seed}
    tried: list[str] = []
    while all(manifest.version == RANDOM for manifest in platform.endpoint.versions()):
        if len(tried) == ATTEMPTS:
            raise LoopFailed(f"{tried[-1]} failed: {platform.runner.explain(tried[-1])}")
        names = (f"startup-{number}" for number in itertools.count(1))
        tried.append(next(n for n in names if platform.runner.submit(template, parameters | {"run_id": n}, n)))
        _finish(platform, tried[-1], report)
    _serving(platform)


def visit(config: Config, platform: Platform, users: int, seed: int, report: Report) -> None:
    """Let `users` users come, and wait until all that they did is in the warehouse."""
    before = _logged(platform)
    for done in range(0, users, USERS_AT_ONCE):
        report("users are served", done / users)
        simulate(config, platform, Visit(users=min(USERS_AT_ONCE, users - done), seed=seed + done))
        _look(config, platform)
    report("the log catches up", 1.0)
    _wait(lambda: all(now - then >= users for now, then in zip(_logged(platform), before, strict=True)), "the log")
    _look(config, platform)


def retrain(config: Config, platform: Platform, report: Report) -> str | None:
    """Let the trigger look until the reward windows have closed, and wait for the run that it submits.

    Returns why nothing was submitted, if so. A run that fails, or is killed, is followed by another.
    """
    deadline, failed = time.monotonic() + config.reward.window_seconds + 1, 0
    while True:
        run_id, reason = tick(config, platform)
        if run_id and _finish(platform, run_id, report):
            _serving(platform)
            return None
        failed += run_id is not None
        if run_id and failed == ATTEMPTS:
            raise LoopFailed(f"{run_id} failed: {platform.runner.explain(run_id)}")
        if not run_id and time.monotonic() > deadline:
            return reason
        report(f"the trigger waits: {reason}", 0.0)
        time.sleep(POLL_SECONDS)


def _finish(platform: Platform, run_id: str, report: Report) -> bool:
    """Wait for a run; whether it succeeded."""
    started = time.monotonic()
    while platform.runner.state(run_id) == "running":
        report(f"{run_id}: {platform.runner.explain(run_id)}", min(0.95, (time.monotonic() - started) / 20))
        time.sleep(POLL_SECONDS)
    return platform.runner.state(run_id) == "succeeded"


def _look(config: Config, platform: Platform) -> None:
    """Let the monitor look, and where it ends the contest, wait until that is what is served."""
    if watch(config, platform)[0]:
        _serving(platform)


def _logged(platform: Platform) -> tuple[int, int]:
    totals: list[dict[str, Any]] = platform.warehouse.totals()
    return sum(row["interactions"] for row in totals), sum(row["rewarded"] for row in totals)


def _serving(platform: Platform) -> None:
    release = platform.endpoint.release()
    _wait(lambda: release and set(platform.endpoint.serving()) == set(release.traffic()), "the endpoint")


def _wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise LoopFailed(f"{what} did not catch up in {PATIENCE_SECONDS} s; see the logs under the backend's root")
        time.sleep(POLL_SECONDS)
