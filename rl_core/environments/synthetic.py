"""The base of synthetic environments: a fixed population of contexts that are vectors, with known mean rewards."""

import abc
from functools import cached_property

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.environment import Environment, draw
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.task import Task

OBSERVATION = "observation"


class Synthetic(Environment):
    """A population of `contexts` vectors, drawn once by the seed, and a mean reward for every action in each."""

    contexts: int = Field(1_000, ge=1, le=1_000_000, description="number of different contexts")
    seed: int = Field(0, ge=0, description="seed of the contexts and of what rewards depend on")

    @abc.abstractmethod
    def draw_contexts(self, random: np.random.Generator) -> np.ndarray:
        """The population, [contexts, dim]."""

    @abc.abstractmethod
    def mean_rewards(self, observations: np.ndarray) -> np.ndarray:
        """The mean reward of every action [B, actions] for observations [B, dim]."""

    def observe(self, batch: int, random: np.random.Generator) -> Contexts:
        return draw(self.population(), batch, random)

    def population(self) -> Contexts:
        return {OBSERVATION: self._observations}

    def expected_rewards(self) -> np.ndarray | None:
        return self.mean_rewards(self._observations)

    def means(self, contexts: Contexts, actions: np.ndarray) -> np.ndarray:
        """The mean rewards [B] of `actions` [B] in contexts."""
        return self.mean_rewards(np.asarray(contexts[OBSERVATION], np.float32))[np.arange(len(actions)), actions]

    @cached_property
    def _observations(self) -> np.ndarray:
        return self.draw_contexts(np.random.default_rng([self.seed, 0])).astype(np.float32)


def vector_task(dim: int, actions: int, low: float, high: float) -> Task:
    """The task of choosing one of `actions` numbered actions by a vector of `dim` numbers."""
    context = {OBSERVATION: {"vector": dim}}
    return Task.parse({"actions": actions, "reward_range": [low, high], "context": context}, "task")


def unit_vectors(rows: int, dim: int, random: np.random.Generator) -> np.ndarray:
    """Vectors [rows, dim] of length 1, in uniformly random directions."""
    vectors = random.normal(size=(rows, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
