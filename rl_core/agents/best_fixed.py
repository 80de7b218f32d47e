"""The best fixed action: a baseline that shows what contexts are worth."""

from typing import Any, Literal

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploration import greedy
from banditloop.rl_core.agents.exploring import ExploringAgent


class BestFixed(ExploringAgent):
    """The action whose predicted reward is the highest on average over all contexts so far, in every context.

    The average over all contexts, and not over those in which an action was taken, makes up for policies that took
    actions where they were good.
    """

    name: Literal["best_fixed"] = "best_fixed"

    def weights(self, statistics: Statistics) -> Statistics:
        return super().weights(statistics) | {"mean_scores": self.reward_model.mean_scores(statistics)}

    def explore(self, weights: Statistics, observations: Any, eligible: Any = None, xp: Any = np) -> Any:
        scores = self.reward_model.scores(weights, observations, xp)
        return greedy(xp.zeros_like(scores) + weights["mean_scores"], eligible, xp)
