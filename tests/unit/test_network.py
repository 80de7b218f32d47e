"""The networks that are trained in NumPy: their gradients, and training that goes on."""

import itertools

import numpy as np
import pytest

from banditloop.rl_core.agents.adam import Adam
from banditloop.rl_core.agents.network import Network, initial_layers, layers_of

SHIFT = 2e-3


def problem(activation):
    """A network that predicts two targets, with random weights in its last layer as well."""
    random = np.random.default_rng(0)
    layers = initial_layers([3, 5, 4, 2], activation, random)
    layers[-1][0][:] = random.normal(size=(4, 2))
    return layers, random.normal(size=(50, 3)).astype(np.float32), random.normal(size=(50, 2)).astype(np.float32)


def loss(layers, activation, x, targets):
    return float(((Network(layers, activation).outputs(x) - targets) ** 2).sum())


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_gradient_is_that_of_finite_differences(activation):
    layers, x, targets = problem(activation)
    network = Network(layers, activation)
    inputs, outputs = network.forward(x)
    gradient, slopes = network.gradient(inputs, 2 * (outputs - targets)), []
    for array in itertools.chain(*layers):
        for index in np.ndindex(array.shape):
            value, losses = array[index], []
            for sign in (1, -1):
                array[index] = value + sign * SHIFT
                losses.append(loss(layers, activation, x, targets))
            array[index] = value
            slopes.append((losses[0] - losses[1]) / (2 * SHIFT))
    np.testing.assert_allclose(gradient, slopes, rtol=0.02, atol=0.5)  # slopes are up to 100


def test_training_goes_on_from_its_weights_and_its_optimizer():
    layers, x, targets = problem("tanh")
    whole, first = Training(layers, x, targets), Training(layers, x, targets)
    whole.run(20)
    first.run(8)
    second = Training(layers_of(first.network.weights()), x, targets)
    second.adam.restore(first.adam.state)
    second.run(12)
    np.testing.assert_array_equal(whole.network.parameters, second.network.parameters)


class Training:
    def __init__(self, layers, x, targets):
        self.network, self.x, self.targets = Network(layers, "tanh"), x, targets
        self.adam = Adam(self.network.parameters, 1e-3)

    def run(self, steps):
        for _ in range(steps):
            inputs, outputs = self.network.forward(self.x)
            self.adam.step(self.network.gradient(inputs, 2 * (outputs - self.targets)))
