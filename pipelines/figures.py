"""What the loop has achieved, version by version."""

from typing import Any

from rl_core.backends import Platform
from rl_core.config import Config
from rl_core.environments import baselines, value
from rl_core.manifest import RANDOM
from rl_core.policy import SavedPolicy
from rl_core.release import state


def summary(config: Config, platform: Platform) -> dict[str, Any]:
    """The baselines, the endpoints, and for every policy version what it met, earned and is truly worth."""
    return {
        **baselines(config.environment),
        "endpoints": platform.endpoint.names(),
        "versions": versions(config, platform),
    }


def versions(config: Config, platform: Platform) -> list[dict[str, Any]]:
    """Per version, oldest first: version, state, interactions, mean_reward, value and greedy_value.

    `value` is the true mean reward over all users of the policy as served, exploration included; `greedy_value` that of
    its best guesses alone.
    """
    totals = {row["version"]: row for row in platform.warehouse.totals()}
    release, verdicts = platform.endpoint.release(), platform.endpoint.verdicts()
    population, rows = config.environment.population(), []
    for manifest in platform.endpoint.versions():
        policy = SavedPolicy.load(platform.endpoint.policy(manifest.version))
        met = totals.get(manifest.version, {"interactions": 0, "mean_reward": None})
        guesses = policy.greedy(population) if manifest.version != RANDOM else policy.probabilities(population)
        rows.append(
            {
                "version": manifest.version,
                "state": state(manifest.version, release, verdicts),
                "interactions": met["interactions"],
                "mean_reward": met["mean_reward"],
                "value": value(config.environment, policy.probabilities(population)),
                "greedy_value": value(config.environment, guesses),
            }
        )
    return rows
