"""The trigger: submits the retraining pipeline when enough interactions are new or enough time has passed.

It never runs two retrainings at once.
"""

import logging
import os
from datetime import UTC, datetime, timedelta

import functions_framework
import pyarrow.compute as pc
from cloudevents.http import CloudEvent

from banditloop.rl_core.backends import platform_from_environment
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.policies.release import Release
from banditloop.rl_core.ports import Endpoint, Platform
from banditloop.rl_core.promotion.retention import prune

log = logging.getLogger("banditloop.trigger")


def tick(config: Config, platform: Platform) -> tuple[str | None, str]:
    """Submit a retraining if it is due: the run's id, or None, and the reason."""
    runs = platform.runner.runs()  # read before the versions: a run that ends in between has then added its version
    release = platform.endpoint.release()
    if release is None:
        return None, "no policy is deployed yet: start `banditloop serve`, or run the startup pipeline"
    if (latest := _latest_judged(platform.endpoint, release)) is None:
        return None, f"{release.champion} is damaged: name another champion by `banditloop release promote VERSION`"
    if running := [run.run_id for run in runs if run.state == "running"]:
        return None, f"{running[0]} is still running"
    window = platform.warehouse.window(latest.window.until)
    new, needed = window.interactions, config.retraining.needed(latest.interactions)
    if new < needed and not (new and _is_overdue(config, platform, latest, window)):
        return None, f"{new} new interactions of {needed}"
    # Two triggers at the same moment compute the same id, and a run's id can be used only once.
    prefix = f"retraining-{latest.version}-"
    attempts = [run for run in runs if run.run_id.startswith(prefix)]
    if len(attempts) > 1:
        retry_at = attempts[-1].started + _retry_delay(len(attempts))
        if datetime.now(UTC) < retry_at:
            return None, f"{attempts[-1].run_id} {attempts[-1].state}; the next attempt is at {retry_at:%H:%M:%S} UTC"
    numbers = [int(number) for run in attempts if (number := run.run_id.removeprefix(prefix)).isdigit()]
    _prune(config, platform)
    run_id = _submit(config, platform, prefix, max(numbers, default=0) + 1)  # the first attempts may have been pruned
    if run_id is None:
        return None, "another trigger has just submitted it"
    return run_id, f"{new} new interactions"


def _submit(config: Config, platform: Platform, prefix: str, number: int) -> str | None:
    """Submit the attempt of this number and return its id; None if another trigger has just submitted it.

    An old run may have the id although it is not listed, since a platform that keeps all runs lists only the newest:
    then the next number is tried.
    """
    folder, name = os.path.split(config.retraining.template)
    template, runner = platform.fetch(folder) / name, platform.runner
    run_id = f"{prefix}{number}"
    while not runner.submit(template, {"config": config.to_dict(), "run_id": run_id}, run_id):
        if run_id in [run.run_id for run in runner.runs()]:
            return None
        number += 1
        run_id = f"{prefix}{number}"
    return run_id


def _latest_judged(endpoint: Endpoint, release: Release) -> Manifest | None:
    """The newest version that is in the release or was judged; None if there is none.

    A version is judged by a verdict of the monitor or an operator, or by the evaluator's refusal. Any other version was
    left by a killed deployer: its interactions still count as new.
    """
    verdicts = endpoint.verdicts()[::-1]  # newest first, because a verdict on a new version is new
    for manifest in reversed(endpoint.versions()):
        own_verdicts = (verdict for verdict in verdicts if verdict.version == manifest.version)
        is_judged = any(verdict.by != "evaluator" or verdict.decision == "refuse" for verdict in own_verdicts)
        if manifest.version in release.traffic() or is_judged:
            return manifest
    return None


def _prune(config: Config, platform: Platform) -> None:
    """Apply the retention rules, while no run can need what they remove. The retraining goes on if that fails."""
    try:
        log.info("removed: %s", prune(config, platform))
    except Exception as error:
        log.warning("not all could be removed that is not kept: %s", error)


def _is_overdue(config: Config, platform: Platform, latest: Manifest, window: Window) -> bool:
    """Whether the last training or, before the first, the first decision was longer ago than the longest interval."""
    since = latest.window.until
    if latest.version == RANDOM:  # was never trained
        batches = platform.warehouse.interactions(window)
        times = [pc.min(batch["timestamp"]).as_py() for batch in batches if batch.num_rows]
        since = min(times, default=datetime.now(UTC))
    return datetime.now(UTC) - since >= timedelta(seconds=config.retraining.max_interval_seconds)


def _retry_delay(attempts: int) -> timedelta:
    """Time from the start of the last attempt to the next: none after the first, then 20 s, 40 s, ... up to 1 h."""
    return min(timedelta(seconds=5 * 2.0 ** min(attempts, 20)), timedelta(hours=1))


@functions_framework.cloud_event
def trigger(event: CloudEvent) -> None:
    """Submit a retraining if it is due, and log the reason."""
    run_id, reason = tick(*platform_from_environment())
    log.info("%s: %s", run_id or "nothing submitted", reason)
