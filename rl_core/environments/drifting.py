"""A drifting linear environment: what is best today is not what was best yesterday."""

from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.environment import Environment
from banditloop.rl_core.environments.noise import normals
from banditloop.rl_core.environments.synthetic import OBSERVATION, unit_vectors, vector_task
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.task import Task

TIME = "_time"  # a hidden column: policies are not told how far the drift has got

GRADUAL_STEPS = 100  # in a period


class Drifting(Environment):
    """Linear rewards whose weights change with time, which is the number of contexts drawn so far.

    A reward is the cosine of context and weights, plus Gaussian noise. Every context carries its time, so a reward is a
    pure function of it. Time starts at 0 in every object, and so in every process. The value of a policy would be
    another one at every time, so none is known.
    """

    name: Literal["drifting"] = "drifting"
    dim: int = Field(10, ge=1, le=1_000, description="length of a context's vector")
    actions: int = Field(10, ge=2, le=10_000, description="number of actions")
    change: Literal["abrupt", "gradual"] = Field(
        "abrupt", description="abrupt: new weights after every period; gradual: they turn steadily to the next ones"
    )
    period: int = Field(2_000, ge=1, description="number of contexts from one draw of the weights to the next")
    noise: float = Field(0.1, ge=0, description="standard deviation of a reward's noise")
    seed: int = Field(0, ge=0, description="seed of the weights")

    @property
    def task(self) -> Task:
        return vector_task(self.dim, self.actions, -1.0, 1.0)

    def observe(self, batch: int, random: np.random.Generator) -> Contexts:
        first = self._drawn[0]
        self._drawn[0] += batch
        vectors = unit_vectors(batch, self.dim, random).astype(np.float32)
        return {OBSERVATION: vectors, TIME: np.arange(first, first + batch)}

    def reward(self, contexts: Contexts, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        vectors, times = np.asarray(contexts[OBSERVATION], np.float64), np.asarray(contexts[TIME])
        steps, means = times // self._step * self._step, np.empty(len(actions))
        for time in np.unique(steps):
            rows = steps == time
            means[rows] = (vectors[rows] * self.weights(int(time))[actions[rows]]).sum(axis=1)
        return means + self.noise * normals(event_ids)

    def weights(self, time: int) -> np.ndarray:
        """The weights [actions, dim], each of length 1, after `time` contexts."""
        draw, elapsed = divmod(time, self.period)
        if self.change == "abrupt" or not elapsed:
            return self._draw_weights(draw)
        fraction = elapsed / self.period
        mixed = (1 - fraction) * self._draw_weights(draw) + fraction * self._draw_weights(draw + 1)
        return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)

    @property
    def _step(self) -> int:
        """The number of contexts for which the weights stay the same."""
        return self.period if self.change == "abrupt" else max(1, self.period // GRADUAL_STEPS)

    def _draw_weights(self, draw: int) -> np.ndarray:
        return unit_vectors(self.actions, self.dim, np.random.default_rng([self.seed, draw]))

    @cached_property
    def _drawn(self) -> list[int]:
        """The number of contexts drawn so far, as the only element: settings are frozen."""
        return [0]
