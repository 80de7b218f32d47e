"""The model of the random policy."""

import numpy as np

from banditloop.rl_core.agents import Model


class UniformModel(Model):
    """A model that knows nothing: all actions are alike. It may have no actions yet."""

    def __init__(self, dim: int, actions: int) -> None:
        self._shape = dim, actions

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        weights = np.ones((len(observations), self._shape[1])) if eligible is None else eligible.astype(float)
        return weights / weights.sum(axis=1, keepdims=True)

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        return np.zeros((len(observations), self._shape[1]))
