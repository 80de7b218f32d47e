"""How policies of TF-Agents' algorithms decide: the probability of every action, from arrays. Without TensorFlow.

TF-Agents' own policies draw an action and log another probability than that with which they drew it (ε-greedy), or
none (Thompson sampling). Here the probabilities are computed, and the action is drawn from them.

xp: the namespace of the arrays, as in `exploration`. Observations are [B, dim], in double precision.
"""

import abc
from dataclasses import dataclass
from typing import Any

import numpy as np

from banditloop.rl_core.agents.agent import Model
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploration import eligible_actions, epsilon_greedy, greedy, inverse_gap, softmax
from banditloop.rl_core.agents.row_products import rows_times
from banditloop.rl_core.agents.tf_agents_algorithms import (
    DropoutThompsonAlgorithm,
    Exp3Algorithm,
    LinTSAlgorithm,
    LinUCBAlgorithm,
    NeuralBoltzmannAlgorithm,
    NeuralEpsilonGreedyAlgorithm,
    NeuralFalconAlgorithm,
    NeuralLinUCBAlgorithm,
)
from banditloop.rl_core.agents.tf_agents_scores import shares_of_best, through, widths, with_bias
from banditloop.rl_core.settings.section import Section

CHUNK_ROWS = 500  # decided at a time, since each row may have hundreds of draws
MAX_GAMMA = 50_000.0  # FALCON's largest γ in TF-Agents


@dataclass(frozen=True)
class AlgorithmModel(Model):
    """An algorithm with its hyperparameters, and the arrays that it decides by, in double precision."""

    algorithm: Any
    arrays: Statistics

    @property
    def shape(self) -> tuple[int, int]:
        dim, actions = self.arrays["shape"].astype(int)
        return int(dim), int(actions)

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        x, parts = observations.astype(np.float64), []
        for start in range(0, max(1, len(x)), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            parts.append(self.chances(x[rows], None if eligible is None else eligible[rows]))
        return np.concatenate(parts)

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        return np.asarray(self.expected(observations.astype(np.float64)))

    @abc.abstractmethod
    def expected(self, x: Any, xp: Any = np) -> Any:
        """The expected reward of every action [B, actions]."""

    @abc.abstractmethod
    def chances(self, x: Any, eligible: Any = None, xp: Any = np) -> Any:
        """The probability of every action [B, actions]; eligible: bool [B, actions]; None: all."""


class NetworkModel(AlgorithmModel):
    """By the predictions of a network of ReLU layers."""

    def expected(self, x: Any, xp: Any = np) -> Any:
        return through(self.arrays, x, xp)


class EpsilonGreedy(NetworkModel):
    """Uniform with probability epsilon."""

    def chances(self, x: Any, eligible: Any = None, xp: Any = np) -> Any:
        return epsilon_greedy(self.expected(x, xp), self.algorithm.epsilon, eligible, xp)


class Boltzmann(NetworkModel):
    """Softmax of the predictions."""

    def chances(self, x: Any, eligible: Any = None, xp: Any = np) -> Any:
        return softmax(self.expected(x, xp), self.algorithm.temperature, eligible, xp)


class Falcon(NetworkModel):
    """γ is TF-Agents': c √(K n / w), for K actions, n interactions and w weights of the network."""

    def chances(self, x: Any, eligible: Any = None, xp: Any = np) -> Any:
        scores, arrays = self.expected(x, xp), self.arrays
        root = xp.sqrt(eligible_actions(scores, eligible, xp) * arrays["interactions"] / arrays["weights"])
        return inverse_gap(scores, xp.minimum(self.algorithm.exploitation_coefficient * root, MAX_GAMMA), eligible, xp)


class DropoutThompson(NetworkModel):
    """The share of networks, with some units dropped in each, that predict an action to be the best."""

    def chances(self, x: Any, eligible: Any = None, xp: Any = np) -> Any:
        return shares_of_best(through(self.arrays, x, xp, dropout=True), eligible, xp)


class LinUCB(AlgorithmModel):
    """Upper confidence bounds."""

    def expected(self, x: Any, xp: Any = np) -> Any:
        return rows_times(with_bias(x, self.algorithm, xp), xp.transpose(self.arrays["theta"]), xp)

    def widths(self, x: Any, xp: Any = np) -> Any:
        """α times the standard deviations [B, actions]."""
        return self.algorithm.alpha * widths(with_bias(x, self.algorithm, xp), self.arrays, xp)

    def chances(self, x: Any, eligible: Any = None, xp: Any = np) -> Any:
        return greedy(self.expected(x, xp) + self.widths(x, xp), eligible, xp)


class LinTS(LinUCB):
    """Thompson sampling: the share of draws of all expected rewards in which an action's is the highest."""

    def chances(self, x: Any, eligible: Any = None, xp: Any = np) -> Any:
        draws = self.expected(x, xp)[:, None] + self.widths(x, xp)[:, None] * self.arrays["draws"]
        return shares_of_best(draws, eligible, xp)


class NeuralLinUCB(AlgorithmModel):
    """LinUCB on what the network encodes; while that is trained, ε-greedy by its reward layer."""

    def expected(self, x: Any, xp: Any = np) -> Any:
        encoded = self._encoded(x, xp)
        by_layer = rows_times(encoded, self.arrays["reward_kernel"], xp)
        return xp.where(self.arrays["by_reward_layer"] > 0, by_layer, self._linear(encoded, xp))

    def chances(self, x: Any, eligible: Any = None, xp: Any = np) -> Any:
        encoded = self._encoded(x, xp)
        bounds = self._linear(encoded, xp) + self.algorithm.alpha * widths(encoded, self.arrays, xp)
        by_layer = rows_times(encoded, self.arrays["reward_kernel"], xp)
        exploring = epsilon_greedy(by_layer, self.algorithm.epsilon_greedy, eligible, xp)
        return xp.where(self.arrays["by_reward_layer"] > 0, exploring, greedy(bounds, eligible, xp))

    def _encoded(self, x: Any, xp: Any) -> Any:
        return xp.maximum(through(self.arrays, x, xp), 0.0)  # its last layer is a ReLU layer too

    def _linear(self, encoded: Any, xp: Any) -> Any:
        return rows_times(encoded, xp.transpose(self.arrays["theta"]), xp)


class Exp3(AlgorithmModel):
    """Exponential weights: the same in every context."""

    def expected(self, x: Any, xp: Any = np) -> Any:
        return xp.zeros_like(x[:, :1]) + self.arrays["mean_rewards"]

    def chances(self, x: Any, eligible: Any = None, xp: Any = np) -> Any:
        weights = xp.zeros_like(x[:, :1]) + self.arrays["weights"]
        return softmax(weights, 1 / self.algorithm.learning_rate, eligible, xp)


MODELS: dict[type[Section], type[AlgorithmModel]] = {
    LinUCBAlgorithm: LinUCB,
    LinTSAlgorithm: LinTS,
    NeuralEpsilonGreedyAlgorithm: EpsilonGreedy,
    NeuralBoltzmannAlgorithm: Boltzmann,
    NeuralFalconAlgorithm: Falcon,
    DropoutThompsonAlgorithm: DropoutThompson,
    NeuralLinUCBAlgorithm: NeuralLinUCB,
    Exp3Algorithm: Exp3,
}
