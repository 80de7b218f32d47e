"""Reward models: what the reward of every action will be, learned from interactions, for agents to explore over."""

from banditloop.rl_core.agents.reward_models.network import Network
from banditloop.rl_core.agents.reward_models.reward_model import RewardModel
from banditloop.rl_core.agents.reward_models.ridge import Ridge

REWARD_MODELS: dict[str, type[RewardModel]] = {"ridge": Ridge, "network": Network}

__all__ = ["REWARD_MODELS", "Network", "RewardModel", "Ridge"]
