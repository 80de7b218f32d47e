"""The learning curve of a loop on a sequential environment: what episodes of every policy version earn."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import EpisodicEnvironment, configured_episodic
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.reports.versions import DATES, version_rows
from banditloop.rl_core.rollouts import Choose, chooses, greedily, returns, uniformly

EPISODES = 500  # that each policy plays, the same ones for all
SEED = 20  # of these episodes; a loop's own seeds are others


def episode_summary(config: Config, platform: Platform) -> dict[str, Any]:
    """The mean return of the random policy, the endpoints, and one row per policy version.

    Raises:
        InvalidInput: the config has no sequential environment.
    """
    environment = configured_episodic(config.environment, "the learning curve of episodes")
    return {
        "uniform": _mean_return(uniformly, environment, config.max_steps),
        "episodes": EPISODES,
        "endpoints": platform.endpoint.list_endpoints(),
        "versions": _versions(config, environment, platform),
    }


def _versions(config: Config, environment: EpisodicEnvironment, platform: Platform) -> list[dict[str, Any]]:
    """One row per version, oldest first: version_rows with its dates, interactions, mean_reward of a step, and values.

    `value` is the mean sum of an episode's rewards of the policy as served, exploration included; `greedy_value` that
    of its greedy actions: over EPISODES episodes that are played for it, the same for every version.
    """
    rows = version_rows(platform, *DATES, "interactions", "mean_reward")
    for row in rows:
        folder = platform.endpoint.policy(row["version"])
        row["value"] = _value(environment, folder, False, config.max_steps)
        row["greedy_value"] = row["value"]
        if row["version"] != RANDOM:
            row["greedy_value"] = _value(environment, folder, True, config.max_steps)
    return rows


@lru_cache(1_000)  # a version never changes, and a loop asks for all of them after every round
def _value(environment: EpisodicEnvironment, folder: Path, greedy: bool, max_steps: int | None) -> float:
    policy = SavedPolicy.load(folder)
    choose = greedily(policy, environment.task) if greedy else chooses(policy, environment.task)
    return _mean_return(choose, environment, max_steps)


def _mean_return(choose: Choose, environment: EpisodicEnvironment, max_steps: int | None) -> float:
    played = returns(choose, environment, SEED, EPISODES, max_steps=max_steps)
    return float(played.undiscounted.mean())
