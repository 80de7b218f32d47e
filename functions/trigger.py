"""The trigger submits the retraining pipeline when enough is new or enough time has passed; never twice at once."""

import functools
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import functions_framework
from cloudevents.http import CloudEvent

from rl_core.backends import Platform, champion, connect
from rl_core.config import Config

log = logging.getLogger("banditloop.trigger")


@functools.cache
def connected() -> tuple[Config, Platform]:
    """$BANDITLOOP_CONFIG and its platform, when the first event comes."""
    config = Config.from_environment()
    return config, connect(config)


def tick(config: Config, platform: Platform) -> tuple[str | None, str]:
    """The id of the run that was submitted, or None, and why."""
    best = champion(platform.endpoint)
    if best is None:
        return None, "no policy is deployed yet: run the startup pipeline first"
    runs = platform.runner.runs()
    running = [run_id for run_id, state in runs if state == "running"]
    if running:
        return None, f"{running[0]} is still running"
    new = platform.warehouse.window(best.window.until).interactions
    overdue = datetime.now(UTC) - best.window.until >= timedelta(seconds=config.trigger.interval_seconds)
    if new < config.trigger.min_interactions and not (new and overdue):
        return None, f"{new} new interactions of {config.trigger.min_interactions}"
    # Two ticks at the same moment compute the same id, and a run's id can be taken only once.
    tried = sum(run_id.startswith(f"retraining-{best.version}-") for run_id, _ in runs)
    run_id = f"retraining-{best.version}-{tried + 1}"
    parameters = {"config": config.to_dict(), "run_id": run_id}
    if not platform.runner.submit(Path(config.trigger.template), parameters, run_id):
        return None, f"{run_id} was submitted by another trigger"
    return run_id, f"{new} new interactions"


@functions_framework.cloud_event
def trigger(event: CloudEvent) -> None:
    """Look once whether it is time."""
    run_id, reason = tick(*connected())
    log.info("%s: %s", run_id or "nothing submitted", reason)
