"""The trigger submits the retraining pipeline when enough is new or enough time has passed; never twice at once."""

import logging
import os
from datetime import UTC, datetime, timedelta

import functions_framework
from cloudevents.http import CloudEvent

from rl_core.backends import Platform, connected, fetched
from rl_core.config import Config

log = logging.getLogger("banditloop.trigger")


def tick(config: Config, platform: Platform) -> tuple[str | None, str]:
    """The id of the run that was submitted, or None, and why."""
    runs = platform.runner.runs()  # before the versions: a run that ends in between has added what is read next
    release = platform.endpoint.release()
    if release is None:
        return None, "no policy is deployed yet: run the startup pipeline first"
    # A version that was added and not released is what a killed deployer left: its interactions still wait.
    settled = {v.version for v in platform.endpoint.verdicts() if v.by != "evaluator" or v.judgement == "refuse"}
    latest = [m for m in platform.endpoint.versions() if m.version in settled | release.traffic().keys()][-1]
    if running := [run.run_id for run in runs if run.state == "running"]:
        return None, f"{running[0]} is still running"
    new = platform.warehouse.window(latest.window.until).interactions
    overdue = datetime.now(UTC) - latest.window.until >= timedelta(seconds=config.trigger.interval_seconds)
    if new < config.trigger.min_interactions and not (new and overdue):
        return None, f"{new} new interactions of {config.trigger.min_interactions}"
    # Two ticks at the same moment compute the same id, and a run's id can be taken only once.
    tried = [run for run in runs if run.run_id.startswith(f"retraining-{latest.version}-")]
    if len(tried) > 1 and datetime.now(UTC) < (again := tried[-1].started + _pause(len(tried))):
        return None, f"{tried[-1].run_id} {tried[-1].state}; the next attempt is at {again:%H:%M:%S} UTC"
    run_id = f"retraining-{latest.version}-{len(tried) + 1}"
    parameters = {"config": config.to_dict(), "run_id": run_id}
    folder, name = os.path.split(config.trigger.template)
    if not platform.runner.submit(fetched(folder, platform.scratch) / name, parameters, run_id):
        return None, f"{run_id} was submitted by another trigger"
    return run_id, f"{new} new interactions"


def _pause(attempts: int) -> timedelta:
    """A first retry at once, then 20 s, 40 s and so on up to an hour."""
    return min(timedelta(seconds=5 * 2.0 ** min(attempts, 20)), timedelta(hours=1))


@functions_framework.cloud_event
def trigger(event: CloudEvent) -> None:
    """Look once whether it is time."""
    run_id, reason = tick(*connected())
    log.info("%s: %s", run_id or "nothing submitted", reason)
