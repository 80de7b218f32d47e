"""Environments: who is recommended to, and what a recommendation earns."""

from rl_core.environments.environment import Environment, baselines, value
from rl_core.environments.movielens import MovieLens

ENVIRONMENTS: dict[str, type[Environment]] = {"movielens": MovieLens}

__all__ = ["ENVIRONMENTS", "Environment", "MovieLens", "baselines", "value"]
