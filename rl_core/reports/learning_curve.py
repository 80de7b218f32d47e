"""The learning curve of a loop on a simulated environment: the value of every policy version."""

from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import baselines, policy_value
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.reports.versions import version_rows


def summary(config: Config, platform: Platform) -> dict[str, Any]:
    """The environment's baselines, the endpoints, and one row per policy version."""
    return {
        **baselines(config.environment),
        "endpoints": platform.endpoint.list_endpoints(),
        "versions": versions(config, platform),
    }


def versions(config: Config, platform: Platform) -> list[dict[str, Any]]:
    """One row per version, oldest first: version_rows with interactions, mean_reward, value and greedy_value.

    `value` is the true mean reward over all users of the policy as served, exploration included; `greedy_value` that of
    its greedy actions. The random policy has no greedy actions: there both are the same.
    """
    population, rows = config.environment.population(), version_rows(platform, "interactions", "mean_reward")
    for row in rows:
        policy = SavedPolicy.load(platform.endpoint.policy(row["version"]))
        probabilities = policy.probabilities(population)
        greedy = probabilities if row["version"] == RANDOM else policy.greedy_probabilities(population)
        row["value"] = policy_value(config.environment, probabilities)
        row["greedy_value"] = policy_value(config.environment, greedy)
    return rows
