"""What an agent is."""

import abc
from pathlib import Path

import numpy as np

from rl_core.sections import Section

Arrays = dict[str, np.ndarray]


class Agent(Section, abc.ABC):
    """A learning rule with its hyperparameters. It holds no state: what it learned is in arrays.

    `statistics` is what training accumulates and a later training resumes from; `weights` is what serving scores with.
    """

    name: str

    @abc.abstractmethod
    def start(self, dim: int, actions: int) -> Arrays:
        """The statistics of no interactions."""

    @abc.abstractmethod
    def accumulate(
        self,
        statistics: Arrays,
        observations: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> Arrays:
        """The statistics with a batch added: observations [B, dim], actions [B], rewards [B].

        weights [B]: how many interactions each of them stands for, where not 1.
        """

    @abc.abstractmethod
    def merge(self, left: Arrays, right: Arrays) -> Arrays:
        """The statistics of what both were made of, as if it had been accumulated together."""

    @abc.abstractmethod
    def solve(self, statistics: Arrays) -> Arrays:
        """The weights that these statistics come to."""

    @abc.abstractmethod
    def probabilities(self, weights: Arrays, observations: np.ndarray) -> np.ndarray:
        """The probability of every action [B, actions] for observations [B, dim], without any exploration floor."""

    @abc.abstractmethod
    def expected(self, weights: Arrays, observations: np.ndarray) -> np.ndarray:
        """The reward that it expects of every action [B, actions] for observations [B, dim]."""

    def greedy(self, weights: Arrays, observations: np.ndarray) -> np.ndarray:
        """The actions [B] with the highest expected reward."""
        return np.argmax(self.expected(weights, observations), axis=1)

    @abc.abstractmethod
    def metrics(self, statistics: Arrays) -> dict[str, float]:
        """Figures that tell how much was learned from, and how well determined it is."""

    @abc.abstractmethod
    def save_model(self, statistics: Arrays, folder: Path) -> None:
        """Write the policy as a TF-Agents SavedModel. Imports TensorFlow."""
