"""What the loop has achieved, version by version."""

from typing import Any

from rl_core.backends import Platform
from rl_core.config import Config
from rl_core.environments import baselines, value
from rl_core.policy import SavedPolicy


def summary(config: Config, platform: Platform) -> dict[str, Any]:
    """The baselines, the endpoints, and for every policy version what it met, earned and is truly worth."""
    return {
        **baselines(config.environment),
        "endpoints": platform.endpoint.names(),
        "versions": versions(config, platform),
    }


def versions(config: Config, platform: Platform) -> list[dict[str, Any]]:
    """Per version, oldest first: version, interactions, mean_reward, value and greedy_value.

    `value` is the true mean reward over all users of the policy as served, exploration included; `greedy_value` that of
    its best guesses alone.
    """
    totals = {row["version"]: row for row in platform.warehouse.totals()}
    uniform = baselines(config.environment)["uniform"]
    rows = [_row("random", totals, uniform, uniform)] if "random" in totals else []
    population = config.environment.population()
    for manifest in platform.endpoint.versions():
        policy = SavedPolicy.load(platform.endpoint.policy(manifest.version))
        served = value(config.environment, policy.probabilities(population))
        rows.append(_row(manifest.version, totals, served, value(config.environment, policy.greedy(population))))
    return rows


def _row(version: str, totals: dict[str, dict[str, Any]], served: float, greedy: float) -> dict[str, Any]:
    met = totals.get(version, {"interactions": 0, "mean_reward": None})
    return {
        "version": version,
        "interactions": met["interactions"],
        "mean_reward": met["mean_reward"],
        "value": served,
        "greedy_value": greedy,
    }
