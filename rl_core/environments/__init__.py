"""Environments: contexts that are observed, and what every action in each of them brings."""

from collections.abc import Mapping

from banditloop.rl_core.environments.environment import Environment, Simulated, baselines, configured, policy_value
from banditloop.rl_core.environments.episodic import (
    Episodes,
    EpisodicEnvironment,
    Steps,
    configured_episodic,
    episode_seeds,
)
from banditloop.rl_core.settings.registry import Registry

ENVIRONMENTS: Mapping[str, type[Simulated]] = Registry(
    __name__,
    {
        "movielens": "movielens:MovieLens",
        "classification": "classification:Classification",
        "gymnasium": "gymnasium_environment:GymnasiumEnvironment",
        "tf_agents": "tf_agents_environment:TFAgentsEnvironment",
        "linear": "linear:Linear",
        "wheel": "wheel:Wheel",
        "drifting": "drifting:Drifting",
        "sparse_clicks": "sparse_clicks:SparseClicks",
        "delayed": "delayed:Delayed",
        "cartpole": "cartpole:CartPole",
        "newsvendor": "newsvendor:Newsvendor",
        "gymnasium_episodes": "gymnasium_episodes:GymnasiumEpisodes",
        "tf_agents_episodes": "tf_agents_episodes:TFAgentsEpisodes",
    },
)

__all__ = [
    "ENVIRONMENTS",
    "Environment",
    "Episodes",
    "EpisodicEnvironment",
    "Simulated",
    "Steps",
    "baselines",
    "configured",
    "configured_episodic",
    "episode_seeds",
    "policy_value",
]
