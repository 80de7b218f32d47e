"""The steps of `banditloop loop`: startup, simulated traffic, retraining. Each waits until it has finished."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from banditloop.functions.simulator import Visit, simulate
from banditloop.functions.trigger import tick
from banditloop.pipelines.cli.progress import Report
from banditloop.pipelines.compile import compile_on_request, compile_pipelines
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import PlatformError
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.monitor import check_canary
from banditloop.rl_core.promotion.transitions import ensure_champion

USERS_PER_REQUEST = 50
POLL_SECONDS = 0.1
TIMEOUT_SECONDS = 120
MAX_ATTEMPTS = 2


class LoopFailed(PlatformError):
    """The loop cannot continue: a pipeline failed repeatedly, or events did not arrive in time."""


def run_startup(config: Config, platform: Platform, interactions: int, seed: int, report: Report) -> None:
    """Compile the pipelines and, unless a policy has been trained before, run startup.

    An agent that does not learn from a log is trained by the on-policy pipeline instead.
    """
    folder = Path(config.retraining.template).parent
    parameters: dict[str, Any] = {"config": config.to_dict()}
    template, _ = compile_pipelines(folder, config, keep_others=True)
    if config.learns_from_log:
        parameters |= {"interactions": interactions, "seed": seed}
    else:
        template = compile_on_request(folder, config, keep_others=True)["on-policy"]
        ensure_champion(config, platform.endpoint)
    attempts: list[str] = []
    while all(manifest.version == RANDOM for manifest in platform.endpoint.versions()):
        if len(attempts) == MAX_ATTEMPTS:
            raise LoopFailed(f"{attempts[-1]} failed: {platform.runner.explain(attempts[-1])}")
        run_ids = (f"startup-{number}" for number in itertools.count(1))
        attempts.append(
            next(
                run_id
                for run_id in run_ids
                if platform.runner.submit(template, parameters | {"run_id": run_id}, run_id)
            )
        )
        _wait_for_run(platform, attempts[-1], report)
    _wait_for_serving(platform)


def visit(config: Config, platform: Platform, users: int, seed: int, report: Report) -> None:
    """Simulate `users` users, and wait until all of their decisions and rewards are in the warehouse."""
    expected = np.array(_logged(platform))
    for served in range(0, users, USERS_PER_REQUEST):
        report("serving users", served, users, "users")
        visited = simulate(config, platform, Visit(users=min(USERS_PER_REQUEST, users - served), seed=seed + served))
        expected += visited.decisions, visited.events
        _check_canary(config, platform)
    report("waiting for the log")
    _wait(lambda: (np.array(_logged(platform)) >= expected).all(), "the log")
    if config.episodes:  # an episode counts only once its rewards cannot change any more
        _wait_for_attribution(config, platform)
    _check_canary(config, platform)


def retrain(config: Config, platform: Platform, report: Report) -> str | None:
    """Run the trigger until the attribution windows have closed, and wait for the run that it submits.

    Returns the reason if nothing was submitted. A run that fails or is killed is retried once.
    """
    if not config.learns_from_log:
        return f"{config.agent.name} does not learn from a log"
    deadline, failures = time.monotonic() + config.reward.attribution_window_seconds + 1, 0
    while True:
        run_id, reason = tick(config, platform)
        if run_id and _wait_for_run(platform, run_id, report):
            _wait_for_serving(platform)
            return None
        failures += run_id is not None
        if run_id and failures == MAX_ATTEMPTS:
            raise LoopFailed(f"{run_id} failed: {platform.runner.explain(run_id)}")
        if not run_id and time.monotonic() > deadline:
            return reason
        report(f"waiting for the trigger: {reason}")
        time.sleep(POLL_SECONDS)


def _wait_for_run(platform: Platform, run_id: str, report: Report) -> bool:
    """Wait for a run and return whether it succeeded."""
    while platform.runner.state(run_id) == "running":
        report(f"{run_id}: {platform.runner.explain(run_id)}")
        time.sleep(POLL_SECONDS)
    return platform.runner.state(run_id) == "succeeded"


def _wait_for_attribution(config: Config, platform: Platform) -> None:
    """Wait until the attribution windows of all logged decisions have closed."""
    deadline, (shown, _) = time.monotonic() + config.reward.attribution_window_seconds + 1, _logged(platform)
    while platform.warehouse.window(None).interactions < shown and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _check_canary(config: Config, platform: Platform) -> None:
    """Run the monitor once and, if it changes the release, wait until the new one is served."""
    if check_canary(config, platform)[0]:
        _wait_for_serving(platform)


def _logged(platform: Platform) -> tuple[int, int]:
    """Numbers of decisions that were shown, and of rewards: also of those that came too late to be learned from."""
    totals, counts = platform.warehouse.policy_totals(), platform.warehouse.event_counts()
    shown = sum(row["interactions"] + row["ignored"] for row in totals)
    return shown, counts.received["rewards"] - counts.duplicate["rewards"]


def _wait_for_serving(platform: Platform) -> None:
    """Wait until exactly the versions of the release are served."""
    release = platform.endpoint.release()
    _wait(lambda: release and set(platform.endpoint.serving_versions()) == set(release.traffic()), "the endpoint")


def _wait(condition: Callable[[], object], name: str) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise LoopFailed(f"{name} did not catch up in {TIMEOUT_SECONDS} s; see the logs under the backend's root")
        time.sleep(POLL_SECONDS)
