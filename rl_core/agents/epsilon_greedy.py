"""ε-greedy over any reward model, with a decay."""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploration import epsilon_greedy
from banditloop.rl_core.agents.exploring import ExploringAgent


class EpsilonGreedy(ExploringAgent):
    """The best prediction, and with probability ε any action.

    After n interactions, ε is epsilon · 2^(-n / epsilon_half_life).
    """

    name: Literal["epsilon_greedy"] = "epsilon_greedy"
    epsilon: float = Field(0.1, ge=0, le=1, description="probability of any action, besides policy.exploration")
    epsilon_half_life: float | None = Field(
        None, gt=0, description="interactions after which ε is half as large; left out: it stays as it is"
    )

    def explore(self, weights: Statistics, observations: Any, eligible: Any = None, xp: Any = np) -> Any:
        epsilon: Any = self.epsilon
        if self.epsilon_half_life:
            epsilon = epsilon * 2 ** (-weights["interactions"] / self.epsilon_half_life)
        return epsilon_greedy(self.reward_model.scores(weights, observations, xp), epsilon, eligible, xp)
