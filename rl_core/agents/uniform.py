"""Uniform choice, beside a reward model that is learned: a baseline, or the start of a log."""

from typing import Any, Literal

import numpy as np

from banditloop.rl_core.agents import exploration
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploring import ExploringAgent


class Uniform(ExploringAgent):
    """Every action with the same probability, whatever the reward model has learned."""

    name: Literal["uniform"] = "uniform"

    def explore(self, weights: Statistics, observations: Any, eligible: Any = None, xp: Any = np) -> Any:
        return exploration.uniform(self.reward_model.scores(weights, observations, xp), eligible, xp)
