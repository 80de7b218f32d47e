"""Rollouts: episodes that a policy plays in a sequential environment."""

from banditloop.rl_core.rollouts.engine import IN_PROCESS, Engine, engine
from banditloop.rl_core.rollouts.play import Choose, Played, chooses, greedily, play, uniformly
from banditloop.rl_core.rollouts.returns import Returns, returns, standard_error
from banditloop.rl_core.rollouts.rollouts import rollouts

__all__ = [
    "IN_PROCESS",
    "Choose",
    "Engine",
    "Played",
    "Returns",
    "chooses",
    "engine",
    "greedily",
    "play",
    "returns",
    "rollouts",
    "standard_error",
    "uniformly",
]
