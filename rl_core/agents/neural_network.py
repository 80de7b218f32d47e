"""Training of a network that predicts the reward of every action, by its mean squared error."""

import numpy as np

from banditloop.rl_core.agents.adam import Adam
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.network import Network, layers_of
from banditloop.rl_core.agents.neural_model import standardised


class Learner:
    """A network in training, its optimizer, and the scales of observations and rewards."""

    def __init__(self, statistics: Statistics, learning_rate: float) -> None:
        self._scales = statistics["mean"], statistics["deviation"]
        self._reward_scale = statistics["reward_scale"]
        self._network = Network(layers_of(statistics))
        self._adam = Adam(self._network.parameters, learning_rate)

    def fit(self, rows: list[np.ndarray], batch_size: int, epochs: int, random: np.random.Generator) -> float:
        """Train on interactions in random order; return the mean loss of the last epoch in units of reward variance.

        rows: observations [B, dim], actions [B], rewards [B] and sample weights [B].
        """
        observations, actions, rewards, sample_weight = rows
        mean, deviation = self._reward_scale
        columns = (
            standardised(observations, *self._scales),
            actions,
            ((rewards - mean) / deviation).astype(np.float32),
            (sample_weight / sample_weight.mean()).astype(np.float32),
        )
        with np.errstate(over="ignore", invalid="ignore"), self._network.threads(batch_size):  # Adam skips infinities
            losses = [self._epoch(columns, batch_size, random.permutation(len(actions))) for _ in range(epochs)]
        return losses[-1]

    def weights(self) -> Statistics:
        """The trained weights by layer."""
        return self._network.weights()

    def _epoch(self, columns: tuple[np.ndarray, ...], batch_size: int, order: np.ndarray) -> float:
        """Train once on all rows in this order [B], `batch_size` rows a step; return the mean loss."""
        x, actions, rewards, sample_weight = (column[order] for column in columns)
        total = 0.0
        for start in range(0, len(order), batch_size):
            part = slice(start, start + batch_size)
            total += self._step(x[part], actions[part], rewards[part], sample_weight[part])
        return total / len(order)

    def _step(self, x: np.ndarray, actions: np.ndarray, rewards: np.ndarray, sample_weight: np.ndarray) -> float:
        """One step of Adam on a minibatch; return the sum of its losses before it."""
        (inputs, outputs), taken = self._network.forward(x), (np.arange(len(x)), actions)
        errors = outputs[taken] - rewards
        weighted = sample_weight * errors
        outputs[:] = 0  # from here on the derivative of the loss by the outputs
        outputs[taken] = weighted * np.float32(2 / len(x))
        self._adam.step(self._network.gradient(inputs, outputs))
        return float(weighted @ errors)
