"""A reward-predicting network as it is served: a forward pass in NumPy, without TensorFlow."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from banditloop.rl_core.agents.agent import Model, one_hot
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.network import Layers, layers_of
from banditloop.rl_core.agents.row_products import rows_times
from banditloop.rl_core.errors import InvalidInput

SMALLEST_DEVIATION = 1e-7  # the least that Keras divides by, and so the exported policy


@dataclass(frozen=True)
class NeuralModel(Model):
    """A model that takes the action with the highest predicted reward.

    mean, deviation: of the observations, [dim] each; reward_scale: mean and standard deviation of the rewards, [2];
    layers: hidden layers, and a last one from the last hidden layer to all actions.
    """

    mean: np.ndarray
    deviation: np.ndarray
    reward_scale: np.ndarray
    layers: Layers

    @classmethod
    def of(cls, arrays: Statistics) -> "NeuralModel":
        """The model of an agent's statistics, or of the part that `served_arrays` returns."""
        return cls(arrays["mean"], arrays["deviation"], arrays["reward_scale"], layers_of(arrays))

    @classmethod
    def checked(cls, path: Path, arrays: Statistics) -> "NeuralModel":
        """The model of the arrays of a file.

        Raises:
            InvalidInput: arrays are missing, or differ in shape.
        """
        try:
            model = cls.of(arrays)
            model.expected_rewards(np.zeros((1, model.shape[0]), np.float32))
        except (KeyError, ValueError, IndexError):
            raise InvalidInput(f"{path}: arrays are missing or differ in shape; not the network of a policy") from None
        return model

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.layers[0][0]), len(self.layers[-1][1])

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        return one_hot(self.greedy_actions(observations, eligible), self.shape[1])

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        mean, deviation = self.reward_scale
        kernel, bias = self.layers[-1]
        return deviation * (rows_times(self.last_hidden_layer(observations), kernel) + bias) + mean

    def expected_rewards_of(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """The expected reward [B] of one action each [B]."""
        mean, deviation = self.reward_scale
        kernel, bias = self.layers[-1]
        outputs = np.einsum("bu,ub->b", self.last_hidden_layer(observations), kernel[:, actions]) + bias[actions]
        return deviation * outputs + mean

    def last_hidden_layer(self, observations: np.ndarray) -> np.ndarray:
        """The units of the last hidden layer [B, units], the network's features of observations [B, dim]."""
        x = standardised(observations, self.mean, self.deviation)
        for kernel, bias in self.layers[:-1]:
            x = np.maximum(rows_times(x, kernel) + bias, 0)
        return x


def served_arrays(statistics: Statistics) -> Statistics:
    """The part of an agent's statistics that its model needs."""
    names = ("mean", "deviation", "reward_scale")
    return {name: array for name, array in statistics.items() if name in names or name.startswith(("kernel_", "bias_"))}


def standardised(observations: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Observations [B, dim] as the network sees them."""
    return (observations.astype(np.float32) - mean) / np.maximum(deviation, SMALLEST_DEVIATION)


def mean_std(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over rows, in double precision; the deviation is 1 where all values are equal."""
    deviation = np.where((values == values[0]).all(axis=0), 1.0, values.std(axis=0, dtype=np.float64))
    return values.mean(axis=0, dtype=np.float64), deviation
