"""The forward and the backward pass of a small network in NumPy, for training.

The networks of policies are small, so a gradient step is a few hundred thousand multiplications; the cost is in calling
operations. Here a step of 64 rows through two layers of 64 units is about forty calls, 70 µs, where TensorFlow's is ten
times that and its tracing most of a second (`make bench-neural`).
"""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics

MANY_THREADS = 3e8  # multiplications of one layer and minibatch, some milliseconds, from which on threads pay
Activation = Literal["relu", "tanh"]
Layers = tuple[tuple[np.ndarray, np.ndarray], ...]  # kernels [fan_in, fan_out] and biases [fan_out] by layer
VARIANCE = {"relu": 2.0, "tanh": 1.0}  # of initial weights times fan_in: outputs vary as much as inputs


def layers_of(arrays: Mapping[str, np.ndarray], prefix: str = "") -> Layers:
    """The layers of arrays named kernel_0, bias_0, kernel_1, … after a prefix."""
    numbers = itertools.takewhile(lambda i: f"{prefix}kernel_{i}" in arrays, itertools.count())
    return tuple((arrays[f"{prefix}kernel_{i}"], arrays[f"{prefix}bias_{i}"]) for i in numbers)


def named_arrays(layers: Sequence[tuple[np.ndarray, np.ndarray]], prefix: str = "") -> Statistics:
    """The arrays of layers, by the names that `layers_of` reads."""
    pairs = ({f"{prefix}kernel_{i}": kernel, f"{prefix}bias_{i}": bias} for i, (kernel, bias) in enumerate(layers))
    return {name: array for pair in pairs for name, array in pair.items()}


def initial_layers(widths: Sequence[int], activation: Activation, random: np.random.Generator) -> Layers:
    """Layers of these widths, inputs first: random weights (He et al., 2015; LeCun et al., 1998), zeros in the last."""
    kernels = [
        random.normal(0, np.sqrt(VARIANCE[activation] / fan_in), (fan_in, fan_out)).astype(np.float32)
        for fan_in, fan_out in itertools.pairwise(widths)
    ]
    kernels[-1][:] = 0
    return tuple((kernel, np.zeros(kernel.shape[1], np.float32)) for kernel in kernels)


class Network:
    """A network in training. Its weights by layer are parts of one array, `parameters`, and so are its gradients."""

    def __init__(self, layers: Layers, activation: Activation = "relu") -> None:
        arrays, self._activation = list(itertools.chain(*layers)), activation
        self.parameters = np.concatenate([array.ravel() for array in arrays], dtype=np.float32)
        self._gradient = np.zeros_like(self.parameters)
        self._layers, self._gradients = (_pairs(_parts(flat, arrays)) for flat in (self.parameters, self._gradient))

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """The outputs [B, fan_out] for x float32 [B, fan_in]."""
        return self.forward(x)[1]

    def forward(self, x: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """The inputs of every layer [B, fan_in], which `gradient` takes, and the outputs [B, fan_out]."""
        inputs = [x]
        for kernel, bias in self._layers[:-1]:
            x = x @ kernel
            x += bias
            inputs.append(np.maximum(x, 0, out=x) if self._activation == "relu" else np.tanh(x, out=x))
        kernel, bias = self._layers[-1]
        outputs = x @ kernel
        outputs += bias
        return inputs, outputs

    def gradient(self, inputs: Sequence[np.ndarray], derivative: np.ndarray) -> np.ndarray:
        """The loss's gradient by the parameters, given its derivative by the outputs; the next call overwrites it."""
        for i in reversed(range(len(inputs))):
            by_kernel, by_bias = self._gradients[i]
            np.matmul(inputs[i].T, derivative, out=by_kernel)
            derivative.sum(axis=0, out=by_bias)
            if i:
                derivative = derivative @ self._layers[i][0].T
                derivative *= self._slopes(inputs[i])
        return self._gradient

    def weights(self, prefix: str = "") -> Statistics:
        """Copies of the weights by layer, as `named_arrays` names them."""
        return named_arrays([(kernel.copy(), bias.copy()) for kernel, bias in self._layers], prefix)

    def threads(self, batch_size: int) -> contextlib.AbstractContextManager[object]:
        """Limits a small network to one thread: on a busy machine, waiting for others costs more than it saves."""
        from threadpoolctl import threadpool_limits  # here, since serving does without it

        is_large = batch_size * max(kernel.size for kernel, _ in self._layers) >= MANY_THREADS
        return threadpool_limits(None if is_large else 1, "blas")

    def _slopes(self, activated: np.ndarray) -> np.ndarray:
        """The derivatives of the activation, given what it returned [B, units]."""
        return activated > 0 if self._activation == "relu" else 1 - activated * activated


def _parts(flat: np.ndarray, like: list[np.ndarray]) -> list[np.ndarray]:
    """Consecutive parts of a flat array, in the shapes of others."""
    ends = np.cumsum([array.size for array in like])
    return [part.reshape(array.shape) for part, array in zip(np.split(flat, ends[:-1]), like, strict=True)]


def _pairs(arrays: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(arrays[::2], arrays[1::2], strict=True))
