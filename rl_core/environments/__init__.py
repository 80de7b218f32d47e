"""Environments: populations of users, and the reward of every action for each of them."""

from banditloop.rl_core.environments.environment import Environment, baselines, policy_value
from banditloop.rl_core.environments.movielens import MovieLens

ENVIRONMENTS: dict[str, type[Environment]] = {"movielens": MovieLens}

__all__ = ["ENVIRONMENTS", "Environment", "MovieLens", "baselines", "policy_value"]
