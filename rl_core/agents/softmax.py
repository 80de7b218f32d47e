"""Softmax, or Boltzmann, exploration over any reward model."""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploration import eligible_actions, softmax
from banditloop.rl_core.agents.exploring import LEAST_ERROR, ExploringAgent


class Softmax(ExploringAgent):
    """Probabilities proportional to exp(prediction / τ).

    After n interactions with K actions to choose from, τ is temperature · s · (K / n)^decay, where s is the root mean
    squared error of the predictions. So neither the scale of rewards nor their number needs another temperature.
    """

    name: Literal["softmax"] = "softmax"
    temperature: float = Field(1.0, gt=0, description="temperature, in root mean squared errors of the predictions")
    decay: float = Field(0.5, ge=0, le=1, description="exponent of the temperature's decay (K / n)^decay; 0: constant")

    def explore(self, weights: Statistics, observations: Any, eligible: Any = None, xp: Any = np) -> Any:
        scores = self.reward_model.scores(weights, observations, xp)
        per_action = xp.maximum(weights["interactions"], 1.0) / eligible_actions(scores, eligible, xp)
        scale = self.temperature * xp.maximum(weights["error"], LEAST_ERROR)
        return softmax(scores, scale / per_action**self.decay, eligible, xp)
