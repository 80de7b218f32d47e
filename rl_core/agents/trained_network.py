"""A network and its optimizer, kept in statistics so that training goes on where it was."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.agents.adam import Adam
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.network import Activation, Layers, Network, layers_of

ADAM = "adam_"


class TrainedNetwork(NamedTuple):
    """A network in training."""

    network: Network
    adam: Adam

    @classmethod
    def new(cls, layers: Layers, activation: Activation, learning_rate: float) -> "TrainedNetwork":
        """Layers before their first training."""
        network = Network(layers, activation)
        return cls(network, Adam(network.parameters, learning_rate))

    @classmethod
    def of(cls, statistics: Statistics, prefix: str, activation: Activation, learning_rate: float) -> "TrainedNetwork":
        """The network that `statistics` wrote, with its optimizer's state."""
        trained = cls.new(layers_of(statistics, prefix), activation, learning_rate)
        trained.adam.restore({name: statistics[f"{prefix}{ADAM}{name}"] for name in trained.adam.state})
        return trained

    def step(self, inputs: Sequence[np.ndarray], derivative: np.ndarray) -> None:
        """Take a step down, given what `forward` kept and the derivative of the loss by the outputs [B, fan_out]."""
        self.adam.step(self.network.gradient(inputs, derivative))

    def statistics(self, prefix: str) -> Statistics:
        """The weights and the optimizer's state, by names that begin with the prefix."""
        state = {f"{prefix}{ADAM}{name}": array for name, array in self.adam.state.items()}
        return self.network.weights(prefix) | state
