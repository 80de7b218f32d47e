"""How a loop is doing right now, from its ports alone."""

from typing import Any

from rl_core.backends import Platform, connect
from rl_core.backends.metrics import log_counts
from rl_core.config import Config
from rl_core.release import Verdict, state


def status(config: Config) -> dict[str, Any]:
    """Versions with their traffic and totals, interactions that wait for training, runs, and what the log counts."""
    platform = connect(config)
    trained = platform.endpoint.versions()
    return {
        "endpoint": config.backend.endpoint,
        "serving": platform.endpoint.serving(),
        "versions": versions(platform),
        "waiting": platform.warehouse.window(trained[-1].window.until if trained else None).interactions,
        "needed": config.trigger.min_interactions,
        "runs": [{"run": run.run_id, "state": run.state} for run in platform.runner.runs()],
        "log": log_counts(platform),
    }


def versions(platform: Platform) -> list[dict[str, Any]]:
    """Every version with what it is, its traffic and its totals."""
    totals = {row["version"]: row for row in platform.warehouse.totals()}
    release, verdicts = platform.endpoint.release(), platform.endpoint.verdicts()
    traffic = release.traffic() if release else {}
    nothing = {"interactions": 0, "rewarded": 0, "mean_reward": None, "shadowed": 0}
    return [
        {
            "version": manifest.version,
            "state": state(manifest.version, release, verdicts),
            "traffic": traffic.get(manifest.version, 0),
            **{key: totals.get(manifest.version, nothing)[key] for key in nothing},
        }
        for manifest in platform.endpoint.versions()
    ]


def lineage(platform: Platform) -> list[dict[str, Any]]:
    """Where every version comes from and what became of it: data window, pipeline run, last verdict."""
    release, verdicts = platform.endpoint.release(), platform.endpoint.verdicts()
    last: dict[str, Verdict] = {verdict.version: verdict for verdict in verdicts}
    return [
        {
            "version": manifest.version,
            "state": state(manifest.version, release, verdicts),
            "parent": manifest.parent,
            "learned_from": manifest.interactions,
            "since": manifest.window.since and manifest.window.since.isoformat(timespec="seconds"),
            "until": manifest.window.until.isoformat(timespec="seconds"),
            "run": manifest.run,
            "by": last[manifest.version].by if manifest.version in last else "",
            "reason": last[manifest.version].reason if manifest.version in last else "",
        }
        for manifest in platform.endpoint.versions()
    ]
