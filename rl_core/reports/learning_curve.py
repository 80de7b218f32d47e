"""The learning curve of a loop on a simulated environment: mean reward and value of every policy version."""

from typing import Any

import numpy as np
import pyarrow as pa

from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import Environment, baselines, configured, policy_value
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.events.contexts import context_array
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.reports.episode_curve import episode_summary
from banditloop.rl_core.reports.versions import DATES, version_rows


def summary(config: Config, platform: Platform) -> dict[str, Any]:
    """The environment's baselines, where it knows them, the endpoints, and one row per policy version.

    Of a sequential environment, that of `episode_summary`.

    Raises:
        InvalidInput: the config has no environment.
    """
    if config.episodes:
        return episode_summary(config, platform)
    environment = configured(config.environment, "the learning curve")
    return {
        **(baselines(environment) if _knows_values(environment) else {}),
        "endpoints": platform.endpoint.list_endpoints(),
        "versions": versions(config, platform),
    }


def versions(config: Config, platform: Platform) -> list[dict[str, Any]]:
    """One row per version, oldest first: version_rows with its dates, interactions, mean_reward and values.

    `value` is the true mean reward over all contexts of the policy as served, exploration included; `greedy_value` that
    of its greedy actions. The random policy has no greedy actions: there both are the same. Rows have neither where the
    environment does not know its population or the expected rewards.
    """
    environment = configured(config.environment, "the learning curve")
    rows = version_rows(platform, *DATES, "interactions", "mean_reward")
    if _knows_values(environment):
        contexts = context_array(config.task, environment.population() or {})
        candidates = Candidates(config.task.action_ids or ())
        for row in rows:
            policy = SavedPolicy.load(platform.endpoint.policy(row["version"]))
            as_served, greedy = _probabilities(policy, contexts, candidates)
            row["value"] = policy_value(environment, as_served)
            row["greedy_value"] = policy_value(environment, greedy)
    return rows


def _knows_values(environment: Environment) -> bool:
    return environment.expected_rewards() is not None and environment.population() is not None


def _probabilities(
    policy: SavedPolicy, contexts: pa.StructArray, candidates: Candidates
) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities of every action [contexts, actions], as served and of the greedy policy."""
    observations = policy.observations(contexts)
    as_served = policy.probabilities(observations, candidates)
    if policy.manifest.version == RANDOM:
        return as_served, as_served
    return as_served, policy.greedy_probabilities(observations, candidates)
