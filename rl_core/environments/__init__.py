"""Environments: contexts that are observed, and what every action in each of them brings."""

from banditloop.rl_core.environments.cartpole import CartPole
from banditloop.rl_core.environments.classification import Classification
from banditloop.rl_core.environments.delayed import Delayed
from banditloop.rl_core.environments.drifting import Drifting
from banditloop.rl_core.environments.environment import Environment, Simulated, baselines, configured, policy_value
from banditloop.rl_core.environments.episodic import (
    Episodes,
    EpisodicEnvironment,
    Steps,
    configured_episodic,
    episode_seeds,
)
from banditloop.rl_core.environments.gymnasium_environment import GymnasiumEnvironment
from banditloop.rl_core.environments.gymnasium_episodes import GymnasiumEpisodes
from banditloop.rl_core.environments.linear import Linear
from banditloop.rl_core.environments.movielens import MovieLens
from banditloop.rl_core.environments.newsvendor import Newsvendor
from banditloop.rl_core.environments.sparse_clicks import SparseClicks
from banditloop.rl_core.environments.tf_agents_environment import TFAgentsEnvironment
from banditloop.rl_core.environments.tf_agents_episodes import TFAgentsEpisodes
from banditloop.rl_core.environments.wheel import Wheel

ENVIRONMENTS: dict[str, type[Simulated]] = {
    "movielens": MovieLens,
    "classification": Classification,
    "gymnasium": GymnasiumEnvironment,
    "tf_agents": TFAgentsEnvironment,
    "linear": Linear,
    "wheel": Wheel,
    "drifting": Drifting,
    "sparse_clicks": SparseClicks,
    "delayed": Delayed,
    "cartpole": CartPole,
    "newsvendor": Newsvendor,
    "gymnasium_episodes": GymnasiumEpisodes,
    "tf_agents_episodes": TFAgentsEpisodes,
}

__all__ = [
    "ENVIRONMENTS",
    "Environment",
    "Episodes",
    "EpisodicEnvironment",
    "MovieLens",
    "Simulated",
    "Steps",
    "baselines",
    "configured",
    "configured_episodic",
    "episode_seeds",
    "policy_value",
]
