"""How a loop is doing right now, from its ports alone."""

from typing import Any

from rl_core.backends import champion, connect
from rl_core.config import Config
from rl_core.schema import SCHEMAS


def status(config: Config) -> dict[str, Any]:
    """Versions with their traffic and totals, interactions that wait for training, runs, dead letters."""
    platform = connect(config)
    totals = {row["version"]: row for row in platform.warehouse.totals()}
    traffic, serving = platform.endpoint.traffic(), platform.endpoint.serving()
    best = champion(platform.endpoint)
    known = [*([] if "random" not in totals else ["random"]), *(m.version for m in platform.endpoint.versions())]
    return {
        "endpoint": config.backend.endpoint,
        "serving": serving,
        "versions": [
            {
                "version": version,
                "traffic": traffic.get(version, 0),
                "interactions": totals.get(version, {}).get("interactions", 0),
                "rewarded": totals.get(version, {}).get("rewarded", 0),
                "mean_reward": totals.get(version, {}).get("mean_reward"),
            }
            for version in known
        ],
        "waiting": platform.warehouse.window(best.window.until if best else None).interactions,
        "needed": config.trigger.min_interactions,
        "runs": [{"run": run.run_id, "state": run.state} for run in platform.runner.runs()],
        "dead_letters": {topic: len(platform.bus.dead_letters(topic)) for topic in SCHEMAS},
    }
