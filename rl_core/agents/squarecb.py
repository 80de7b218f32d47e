"""SquareCB: inverse gap weighting over any reward model."""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploration import eligible_actions, inverse_gap
from banditloop.rl_core.agents.exploring import LEAST_ERROR, ExploringAgent


class SquareCB(ExploringAgent):
    """Probability 1 / (K + γ gap) for every action but the best, which gets the rest.

    K is the number of actions to choose from, and the gap by how much the prediction is below the best one. After n
    interactions, γ is gamma_scale · √K · n^gamma_exponent / s, where s is the root mean squared error of the
    predictions. (Foster, Rakhlin: Beyond UCB, ICML 2020; the names are Vowpal Wabbit's, which has neither √K nor s.)
    """

    name: Literal["squarecb"] = "squarecb"
    gamma_scale: float = Field(10.0, ge=0, description="scale of γ: the larger, the less exploration")
    gamma_exponent: float = Field(
        0.5, ge=0, le=1, description="exponent of the number of interactions by which gamma grows"
    )

    def explore(self, weights: Statistics, observations: Any, eligible: Any = None, xp: Any = np) -> Any:
        scores = self.reward_model.scores(weights, observations, xp)
        scale = self.gamma_scale * weights["interactions"] ** self.gamma_exponent
        gamma = scale * xp.sqrt(eligible_actions(scores, eligible, xp)) / xp.maximum(weights["error"], LEAST_ERROR)
        return inverse_gap(scores, gamma, eligible, xp)
