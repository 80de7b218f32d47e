"""Training of a network of ReLU layers in NumPy: mean squared error, backpropagation, Adam.

The networks of bandits are small, so a gradient step is a few hundred thousand multiplications; what costs is calling
operations. Here a step of 64 interactions through two layers of 64 units is about forty calls, 70 µs, where
TensorFlow's is ten times that and its tracing most of a second (`make bench-neural`).
"""

import contextlib
import itertools

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.neural_model import layers_of, standardised

GRADIENT_CLIP = 10.0  # largest norm of a gradient, which limits the effect of one extreme event
MANY_THREADS = 3e8  # multiplications of one layer and minibatch, some milliseconds: from there on threads pay
DECAY, SQUARE_DECAY, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-7)  # Adam's β₁, β₂ and ε, as Keras'


class Adam:
    """Adam on one array of parameters [n] (Kingma, Ba: Adam, a Method for Stochastic Optimization, ICLR 2015)."""

    def __init__(self, parameters: np.ndarray, learning_rate: float) -> None:
        self._parameters, self._learning_rate, self._steps = parameters, learning_rate, 0
        self._mean, self._square, self._work = (np.zeros_like(parameters) for _ in range(3))

    def step(self, gradient: np.ndarray) -> None:
        """Change the parameters, in place; overwrites the gradient [n]. One that is not finite is left out."""
        norm = float(gradient @ gradient) ** 0.5
        if not np.isfinite(norm):
            return
        if norm > GRADIENT_CLIP:
            gradient *= GRADIENT_CLIP / norm
        self._steps += 1
        rate = self._learning_rate * (1 - float(SQUARE_DECAY) ** self._steps) ** 0.5 / (1 - float(DECAY) ** self._steps)
        np.multiply(gradient, gradient, out=self._work)
        self._square *= SQUARE_DECAY
        self._square += np.multiply(self._work, 1 - SQUARE_DECAY, out=self._work)
        self._mean *= DECAY
        self._mean += np.multiply(gradient, 1 - DECAY, out=gradient)
        np.sqrt(self._square, out=self._work)
        self._work += EPSILON
        np.divide(self._mean, self._work, out=self._work)
        self._work *= np.float32(rate)
        self._parameters -= self._work


class Learner:
    """A network in training, with its optimizer: the weights by layer are parts of one array, and so the gradients."""

    def __init__(self, statistics: Statistics, learning_rate: float) -> None:
        self._scales = statistics["mean"], statistics["deviation"]
        self._reward_scale = statistics["reward_scale"]
        arrays = list(itertools.chain(*layers_of(statistics)))
        parameters = np.concatenate([array.ravel() for array in arrays], dtype=np.float32)
        self._gradient = np.zeros_like(parameters)
        self._layers, self._gradients = (_pairs(_parts(flat, arrays)) for flat in (parameters, self._gradient))
        self._adam = Adam(parameters, learning_rate)

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
        with np.errstate(over="ignore", invalid="ignore"), self._threads(batch_size):  # Adam skips what is not finite
            losses = [self._epoch(columns, batch_size, random.permutation(len(actions))) for _ in range(epochs)]
        return losses[-1]

    def _threads(self, batch_size: int) -> contextlib.AbstractContextManager[object]:
        """Limits a small network to one thread: on a busy machine, waiting for a second costs more than it saves."""
        from threadpoolctl import threadpool_limits  # here, since what only serves does without it

        is_large = batch_size * max(kernel.size for kernel, _ in self._layers) >= MANY_THREADS
        return threadpool_limits(None if is_large else 1, "blas")

    def weights(self) -> Statistics:
        """The trained weights by layer."""
        pairs = (
            {f"kernel_{i}": kernel.copy(), f"bias_{i}": bias.copy()} for i, (kernel, bias) in enumerate(self._layers)
        )
        return {name: array for pair in pairs for name, array in pair.items()}

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
        layers, inputs, taken = self._layers, [x], (np.arange(len(x)), actions)
        for kernel, bias in layers[:-1]:
            x = x @ kernel
            x += bias
            inputs.append(np.maximum(x, 0, out=x))
        kernel, bias = layers[-1]
        outputs = x @ kernel
        outputs += bias
        errors = outputs[taken] - rewards
        weighted = sample_weight * errors
        outputs[:] = 0  # from here on the derivative of the loss by what each layer returns
        outputs[taken] = weighted * np.float32(2 / len(x))
        self._backpropagate(inputs, outputs)
        self._adam.step(self._gradient)
        return float(weighted @ errors)

    def _backpropagate(self, inputs: list[np.ndarray], derivative: np.ndarray) -> None:
        """Set the gradients, given the inputs of every layer [B, fan_in] and the derivative by the outputs."""
        for i in reversed(range(len(inputs))):
            by_kernel, by_bias = self._gradients[i]
            np.matmul(inputs[i].T, derivative, out=by_kernel)
            derivative.sum(axis=0, out=by_bias)
            if i:
                derivative = derivative @ self._layers[i][0].T
                derivative *= inputs[i] > 0


def _parts(flat: np.ndarray, like: list[np.ndarray]) -> list[np.ndarray]:
    """Consecutive parts of a flat array, in the shapes of others."""
    ends = np.cumsum([array.size for array in like])
    return [part.reshape(array.shape) for part, array in zip(np.split(flat, ends[:-1]), like, strict=True)]


def _pairs(arrays: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(arrays[::2], arrays[1::2], strict=True))
