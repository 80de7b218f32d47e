"""A linear environment: the problem for which LinUCB was made."""

from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.noise import normals
from banditloop.rl_core.environments.synthetic import Synthetic, unit_vectors, vector_task
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.task import Task


class Linear(Synthetic):
    """Rewards that are linear in the context: the cosine of context and the action's weights, plus Gaussian noise."""

    name: Literal["linear"] = "linear"
    dim: int = Field(10, ge=1, le=1_000, description="length of a context's vector")
    actions: int = Field(10, ge=2, le=10_000, description="number of actions")
    noise: float = Field(0.1, ge=0, description="standard deviation of a reward's noise")

    @property
    def task(self) -> Task:
        return vector_task(self.dim, self.actions, -1.0, 1.0)

    def draw_contexts(self, random: np.random.Generator) -> np.ndarray:
        return unit_vectors(self.contexts, self.dim, random)

    def mean_rewards(self, observations: np.ndarray) -> np.ndarray:
        return observations.astype(np.float64) @ self._weights.T

    def reward(self, contexts: Contexts, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        return self.means(contexts, actions) + self.noise * normals(event_ids)

    @cached_property
    def _weights(self) -> np.ndarray:
        return unit_vectors(self.actions, self.dim, np.random.default_rng([self.seed, 1]))
