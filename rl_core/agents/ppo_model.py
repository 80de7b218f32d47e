"""A stochastic policy by a network, as it is served: a forward pass in NumPy, without TensorFlow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from banditloop.rl_core.agents.agent import Model
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploration import softmax
from banditloop.rl_core.agents.network import layers_of
from banditloop.rl_core.agents.neural_model import SMALLEST_DEVIATION
from banditloop.rl_core.agents.row_products import rows_times
from banditloop.rl_core.errors import InvalidInput

ACTOR = "actor_"


@dataclass(frozen=True)
class PPOModel(Model):
    """A policy whose probabilities are the softmax of a network's outputs, its preferences.

    It estimates no rewards: in their place it returns the logarithms of the probabilities, at most 0, which rank the
    actions of an observation.
    """

    arrays: Statistics

    @classmethod
    def of(cls, arrays: Statistics) -> "PPOModel":
        """The model of the arrays that the agent serves."""
        return cls({name: array.astype(np.float64) for name, array in arrays.items()})

    @classmethod
    def checked(cls, path: Path, arrays: Statistics) -> "PPOModel":
        """The model of the arrays of a file.

        Raises:
            InvalidInput: arrays are missing, or differ in shape.
        """
        try:
            model = cls.of(arrays)
            model.probabilities(np.zeros((1, model.shape[0])))
        except (KeyError, ValueError, IndexError):
            raise InvalidInput(f"{path}: arrays are missing or differ in shape; not the policy of ppo") from None
        return model

    @property
    def shape(self) -> tuple[int, int]:
        layers = layers_of(self.arrays, ACTOR)
        return len(layers[0][0]), len(layers[-1][1])

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        return np.asarray(softmax(preferences(self.arrays, observations.astype(np.float64)), 1.0, eligible))

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        scores = preferences(self.arrays, observations.astype(np.float64))
        return np.asarray(log_softmax(scores))


def preferences(arrays: Any, x: Any, xp: Any = np) -> Any:
    """The network's outputs [B, actions] for observations [B, dim]; xp: the namespace, as in `exploration`."""
    x = (x - arrays["mean"]) / xp.maximum(arrays["deviation"], SMALLEST_DEVIATION)
    *hidden, (kernel, bias) = layers_of(arrays, ACTOR)
    for inner, inner_bias in hidden:
        x = xp.tanh(rows_times(x, inner, xp) + inner_bias)
    return rows_times(x, kernel, xp) + bias


def log_softmax(scores: Any, xp: Any = np) -> Any:
    """The logarithms of the softmax of scores [B, actions]."""
    below = scores - xp.max(scores, axis=1, keepdims=True)
    return below - xp.log(xp.sum(xp.exp(below), axis=1, keepdims=True))
