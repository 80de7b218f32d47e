"""The current status of a loop, from its four ports."""

from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.reports.runs import run_row
from banditloop.rl_core.reports.versions import DATES, TOTALS, version_rows
from banditloop.rl_core.serving.log_counts import log_counts


def status(config: Config, platform: Platform) -> dict[str, Any]:
    """Versions with traffic and totals, new interactions since the last training, runs, and counts of logged events.

    warning: one line if the canary does not get its share of the traffic, else empty.
    """
    manifests, release = platform.endpoint.versions(), platform.endpoint.release()
    return {
        "endpoint": config.backend.endpoint,
        "serving": platform.endpoint.serving_versions(),
        "versions": version_rows(platform, *TOTALS, *DATES),
        "warning": release.traffic_warning() if release else "",
        "new_interactions": platform.warehouse.window(manifests[-1].window.until if manifests else None).interactions,
        "needed_interactions": config.retraining.needed(manifests[-1].interactions if manifests else 0),
        "runs": [run_row(run) for run in platform.runner.runs()],
        "log": log_counts(platform),
    }
