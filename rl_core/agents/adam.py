"""Adam, the optimizer of the networks trained in NumPy."""

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics

GRADIENT_CLIP = 10.0  # largest norm of a gradient, which limits the effect of one extreme event
DECAY, SQUARE_DECAY, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-7)  # Adam's β₁, β₂ and ε, as Keras'


class Adam:
    """Adam on one array of parameters [n] (Kingma, Ba: Adam, a Method for Stochastic Optimization, ICLR 2015)."""

    def __init__(self, parameters: np.ndarray, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._parameters, self._steps = parameters, 0
        self._mean, self._square, self._work = (np.zeros_like(parameters) for _ in range(3))

    @property
    def state(self) -> Statistics:
        """The mean of the gradients and of their squares, [n] each, and the number of steps []."""
        return {"mean": self._mean.copy(), "square": self._square.copy(), "steps": np.array(self._steps)}

    def restore(self, state: Statistics) -> None:
        """Go on from the state of another one."""
        self._mean[:], self._square[:], self._steps = state["mean"], state["square"], int(state["steps"])

    def step(self, gradient: np.ndarray) -> None:
        """Change the parameters, in place; overwrites the gradient [n]. One that is not finite is left out."""
        norm = float(gradient @ gradient) ** 0.5
        if not np.isfinite(norm):
            return
        if norm > GRADIENT_CLIP:
            gradient *= GRADIENT_CLIP / norm
        self._steps += 1
        rate = self.learning_rate * (1 - float(SQUARE_DECAY) ** self._steps) ** 0.5 / (1 - float(DECAY) ** self._steps)
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
