"""What an agent is, and what it makes of interactions."""

import abc
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rl_core.agents.arrays import Arrays
from rl_core.sections import Section


class Batch(NamedTuple):
    """Interactions: observations [B, dim], actions [B], rewards [B], and how many each stands for [B], where not 1."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    weights: np.ndarray | None = None


class Model(abc.ABC):
    """What an agent has learned, as it scores observations."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """The length of an observation, and the number of actions."""

    @abc.abstractmethod
    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        """The probability of every action [B, actions] for observations [B, dim], without any exploration floor."""

    @abc.abstractmethod
    def expected(self, observations: np.ndarray) -> np.ndarray:
        """The reward that is expected of every action [B, actions] for observations [B, dim]."""

    def greedy(self, observations: np.ndarray) -> np.ndarray:
        """The actions [B] with the highest expected reward."""
        return np.argmax(self.expected(observations), axis=1)


class Agent(Section, abc.ABC):
    """A learning rule with its hyperparameters. It holds no state: what it learned is in arrays, the statistics.

    They are what training comes to and a later training resumes from; what serves is written of them.
    """

    name: str

    @abc.abstractmethod
    def start(self, dim: int, actions: int) -> Arrays:
        """The statistics of no interactions."""

    @abc.abstractmethod
    def learn(self, statistics: Arrays, batches: Iterable[Batch]) -> Arrays:
        """The statistics with interactions added, read once and a batch at a time."""

    def resumes(self, other: dict[str, Any]) -> bool:
        """Whether it can go on from the statistics of another agent section."""
        return other.get("name") == self.name

    @abc.abstractmethod
    def metrics(self, statistics: Arrays) -> dict[str, float]:
        """Figures that tell how much was learned from, and how well."""

    @abc.abstractmethod
    def save(self, statistics: Arrays, folder: Path) -> None:
        """Write what serves: a TF-Agents SavedModel, and whatever else `load` reads. Imports TensorFlow."""

    @abc.abstractmethod
    def load(self, folder: Path) -> Model:
        """The model that `save` wrote, ready to score."""


class Additive(Agent):
    """An agent whose statistics are sums: what shares of the interactions come to adds up to what all of them do."""

    @abc.abstractmethod
    def accumulate(self, statistics: Arrays, batch: Batch) -> Arrays:
        """The statistics with a batch added."""

    @abc.abstractmethod
    def merge(self, left: Arrays, right: Arrays) -> Arrays:
        """The statistics of what both were made of, as if it had been accumulated together."""

    def learn(self, statistics: Arrays, batches: Iterable[Batch]) -> Arrays:
        return reduce(self.accumulate, batches, statistics)


def certain(actions: np.ndarray, many: int) -> np.ndarray:
    """Probabilities [B, many] that are 1 for the actions [B] and 0 for the others."""
    probabilities = np.zeros((len(actions), many))
    probabilities[np.arange(len(actions)), actions] = 1.0
    return probabilities


def tally(batch: Batch, actions: int) -> Arrays:
    """How many interactions each action has in a batch, and the sum of their rewards [actions]."""
    return {
        "counts": np.bincount(batch.actions, minlength=actions),
        "rewards": np.bincount(batch.actions, batch.rewards, minlength=actions),
    }


def seen(statistics: Arrays) -> dict[str, float]:
    """How much was learned from: figures of all that was tallied."""
    interactions = int(statistics["counts"].sum())
    return {
        "interactions": interactions,
        "arms_seen": int(np.count_nonzero(statistics["counts"])),
        "mean_reward": float(statistics["rewards"].sum() / max(1, interactions)),
    }
