"""The networks that are trained in NumPy: their gradients, and training that goes on."""

import itertools

import numpy as np
import pytest

from banditloop.rl_core.agents.network import Network, initial_layers, layers_of

RATE, SHIFT = 1e-3, 1e-2


def problem(activation):
    """A network that predicts two targets, with random weights in its last layer as well."""
    random = np.random.default_rng(0)
    layers = initial_layers([3, 5, 4, 2], activation, random)
    layers[-1][0][:] = random.normal(size=(4, 2))
    return layers, random.normal(size=(50, 3)).astype(np.float32), random.normal(size=(50, 2)).astype(np.float32)


def loss(layers, activation, x, targets):
    return float(((Network(layers, RATE, activation).outputs(x) - targets) ** 2).sum())


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_first_step_of_adam_goes_down_the_slope_of_every_weight(activation):
    """Its length is the learning rate, whatever the slope is, which finite differences tell."""
    layers, x, targets = problem(activation)
    network = Network(layers, RATE, activation)
    network.step(2 * (network.outputs(x) - targets))
    moved = itertools.chain(*layers_of(network.weights()))
    for before, after in zip(itertools.chain(*layers), moved, strict=True):
        for index in np.ndindex(before.shape):
            slope = 0.0
            for sign in (1, -1):
                before[index] += np.float32(sign * SHIFT)
                slope += sign * loss(layers, activation, x, targets) / (2 * SHIFT)
                before[index] -= np.float32(sign * SHIFT)
            if abs(slope) > 1:
                assert after[index] - before[index] == pytest.approx(-RATE * np.sign(slope), rel=1e-2)


def test_training_goes_on_from_its_weights_and_its_optimizer():
    layers, x, targets = problem("tanh")
    whole, first = Network(layers, RATE, "tanh"), Network(layers, RATE, "tanh")
    for network, steps in ((whole, 20), (first, 8)):
        train(network, x, targets, steps)
    second = Network(layers_of(first.weights()), RATE, "tanh")
    second.optimizer.restore(first.optimizer.state)
    train(second, x, targets, 12)
    for name, array in whole.weights().items():
        np.testing.assert_array_equal(second.weights()[name], array)


def train(network, x, targets, steps):
    for _ in range(steps):
        network.step(2 * (network.outputs(x) - targets))
