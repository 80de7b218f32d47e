"""Double Q-learning of a ReLU network in NumPy, one gradient step at a time: what DQN learns by, offline and online.

A step moves Q(s, a) towards r + γ Q'(s', argmax Q(s', ·)), where Q' is a copy of the network that follows it slowly
(van Hasselt, Guez, Silver: Deep Reinforcement Learning with Double Q-learning, AAAI 2016; the copy's soft updates:
Lillicrap et al., Continuous Control with Deep Reinforcement Learning, ICLR 2016).
"""

import contextlib

import numpy as np

from banditloop.rl_core.agents.adam import Adam
from banditloop.rl_core.agents.agent import best_actions
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.network import Network, layers_of
from banditloop.rl_core.agents.neural_model import standardised
from banditloop.rl_core.agents.transitions import Transitions

STATE = "learner_"  # prefix of the state that is kept between loops


class QLearner:
    """A Q network in training.

    statistics: the network as kernel_0, bias_0, …, whose outputs are values in units of reward_scale [2], a mean and a
    deviation; mean and deviation of observations [dim]. tau: the share of the network that the copy takes on each step.
    """

    def __init__(self, statistics: Statistics, learning_rate: float, tau: float) -> None:
        self._scales = statistics["mean"], statistics["deviation"]
        self._offset, self._unit = statistics["reward_scale"]
        self._network, self._copy = (Network(layers_of(statistics)) for _ in range(2))
        self._adam, self._tau = Adam(self._network.parameters, learning_rate), np.float32(tau)
        if f"{STATE}copy" in statistics:
            self._copy.parameters[:] = statistics[f"{STATE}copy"]
            self._adam.restore({name: statistics[f"{STATE}{name}"] for name in self._adam.state})

    def step(self, batch: Transitions, learning_rate: float | None = None) -> float:
        """Take a step on a minibatch, at another learning rate if given; return its mean squared error before that.

        All rows must be `is_known`. next_eligible: the actions that the target maximises over. The error is in squared
        units of the reward scale.
        """
        if learning_rate is not None:
            self._adam.learning_rate = learning_rate
        inputs, outputs = self._network.forward(standardised(batch.observations, *self._scales))
        taken = np.arange(len(outputs)), batch.actions
        errors = outputs[taken] - self.targets(batch)
        weighted = errors if batch.sample_weight is None else errors * batch.sample_weight.astype(np.float32)
        outputs[:] = 0  # from here on the derivative of the loss by the outputs
        outputs[taken] = weighted * np.float32(2 / len(outputs))
        self._adam.step(self._network.gradient(inputs, outputs))
        self._copy.parameters += self._tau * (self._network.parameters - self._copy.parameters)
        return float(np.mean(weighted * errors))

    def targets(self, batch: Transitions) -> np.ndarray:
        """The targets of the outputs for the actions taken [B], float32."""
        following = standardised(batch.next_observations, *self._scales)
        best = best_actions(self._network.outputs(following), batch.next_eligible)
        values = self._offset + self._unit * self._copy.outputs(following)[np.arange(len(best)), best]
        return ((batch.rewards + batch.discounts * values - self._offset) / self._unit).astype(np.float32)

    def threads(self, batch_size: int) -> contextlib.AbstractContextManager[object]:
        """The context that `step` should be called in: see `Network.threads`."""
        return self._network.threads(batch_size)

    def weights(self) -> Statistics:
        """The network's weights, by the names that they have in the statistics."""
        return self._network.weights()

    def state(self) -> Statistics:
        """The copy and the optimizer, which statistics need beside the weights for learning to go on where it was."""
        return {f"{STATE}{name}": array for name, array in self._adam.state.items()} | {
            f"{STATE}copy": self._copy.parameters.copy()
        }
