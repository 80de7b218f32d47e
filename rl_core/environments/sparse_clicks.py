"""Sparse clicks: many actions, of which few are ever clicked."""

from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.noise import uniforms
from banditloop.rl_core.environments.synthetic import Synthetic, vector_task
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.task import Task


class SparseClicks(Synthetic):
    """Users who click an item with a small probability, logistic in their features; the mean rate is set.

    The reward is 1 for a click and 0 for none. The first feature is constant, so that items differ in popularity.
    """

    name: Literal["sparse_clicks"] = "sparse_clicks"
    dim: int = Field(10, ge=2, le=1_000, description="length of a context's vector, constant included")
    actions: int = Field(100, ge=2, le=10_000, description="number of items, the actions")
    click_rate: float = Field(0.02, gt=0, lt=1, description="clicks per view of an item chosen at random")

    @property
    def task(self) -> Task:
        return vector_task(self.dim, self.actions, 0.0, 1.0)

    def draw_contexts(self, random: np.random.Generator) -> np.ndarray:
        return np.column_stack([np.ones(self.contexts), random.normal(size=(self.contexts, self.dim - 1))])

    def mean_rewards(self, observations: np.ndarray) -> np.ndarray:
        return _logistic(self._scores(observations) + self._intercept)

    def reward(self, contexts: Contexts, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        return (uniforms(event_ids) < self.means(contexts, actions)).astype(float)

    def _scores(self, observations: np.ndarray) -> np.ndarray:
        return observations.astype(np.float64) @ self._weights.T

    @cached_property
    def _weights(self) -> np.ndarray:
        return np.random.default_rng([self.seed, 1]).normal(size=(self.actions, self.dim)) / np.sqrt(self.dim)

    @cached_property
    def _intercept(self) -> float:
        """The intercept at which the mean rate over the population is click_rate, by bisection."""
        scores = self._scores(self._observations)
        low, high = -50.0, 50.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _logistic(scores + middle).mean() < self.click_rate else (low, middle)
        return (low + high) / 2


def _logistic(scores: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-scores))
