"""A model that draws actions by the softmax of another one's values, in place of taking the best."""

from dataclasses import dataclass

import numpy as np

from banditloop.rl_core.agents.agent import Model
from banditloop.rl_core.agents.exploration import softmax


@dataclass(frozen=True)
class SoftmaxValues(Model):
    """Probabilities proportional to exp(value / temperature); temperature: in units of value, above 0."""

    values: Model
    temperature: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        scores = self.expected_rewards(observations).astype(np.float64)
        return np.asarray(softmax(scores, self.temperature, eligible))

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        return self.values.expected_rewards(observations)
