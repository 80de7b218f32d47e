"""The interface of an agent, of the interactions it learns from, and of the model it learns."""

import abc
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.settings.section import Section


class Batch(NamedTuple):
    """Interactions: observations [B, dim], actions [B], rewards [B], and what else is known of them.

    sample_weight: [B]; None: 1. propensities: with which the actions were chosen [B], in (0, 1]. ids: a number of each
    interaction [B], uint64, the same in every read. eligible: the actions that could be chosen, bool
    [B, actions]; None: all of them. Agents that learn from ids or propensities refuse a batch without them.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    sample_weight: np.ndarray | None = None
    propensities: np.ndarray | None = None
    ids: np.ndarray | None = None
    eligible: np.ndarray | None = None

    def take(self, rows: np.ndarray | slice) -> "Batch":
        """Some of the interactions, by their positions, a mask or a slice."""
        return Batch(*(column if column is None else column[rows] for column in self))  # type: ignore[arg-type]


class Model(abc.ABC):
    """A trained agent, ready to score observations."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """The length of an observation, and the number of actions."""

    @abc.abstractmethod
    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        """The probability of every action [B, actions] for observations [B, dim], without any exploration floor.

        eligible: the actions that may be chosen, bool [B, actions], at least one per row; None: all. Those that may not
        have a probability of 0.
        """

    @abc.abstractmethod
    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        """The expected reward of every action [B, actions] for observations [B, dim]."""

    def greedy_scores(self, observations: np.ndarray) -> np.ndarray:
        """The scores [B, actions] of which the greedy action has the highest: the expected rewards."""
        return self.expected_rewards(observations)

    def greedy_actions(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        """The eligible actions [B] with the highest score."""
        return best_actions(self.greedy_scores(observations), eligible)


class Agent(Section, abc.ABC):
    """A learning algorithm with its hyperparameters.

    It is stateless: everything learned is in the statistics, arrays that training returns and that later training
    resumes from. The files that are served are written from them.
    """

    EXPLORATION: ClassVar[float] = 0.05
    """The fraction of decisions drawn uniformly by default: enough for an agent that does not explore by itself."""

    name: str

    @abc.abstractmethod
    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        """The statistics of no interactions."""

    @abc.abstractmethod
    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        """The statistics with untried actions appended, `actions` in all: earlier ones keep their positions."""

    @abc.abstractmethod
    def update(self, statistics: Statistics, batches: Iterable[Batch]) -> Statistics:
        """The statistics with interactions added; those given stay unchanged. Reads the batches once, one at a time."""

    def resumed(self, statistics: Statistics) -> Statistics:
        """The statistics that a training starts from, given those that the last one ended with.

        An agent that forgets does so here: once per training, however many files and shards it has.
        """
        return statistics

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        """Whether training can resume from the statistics of another agent section."""
        return other.get("name") == self.name

    @property
    def learns_from_eligible(self) -> bool:
        """Whether training needs `Batch.eligible`, which takes a while to read where actions change."""
        return False

    @property
    def learns_from_ids(self) -> bool:
        """Whether training needs `Batch.ids`, which take a while to compute."""
        return True

    @property
    def learns_from_before(self) -> bool:
        """Whether the training of a shard needs the statistics that the whole training resumes from."""
        return False

    @abc.abstractmethod
    def metrics(self, statistics: Statistics) -> dict[str, float]:
        """Training metrics: how many interactions were learned from, and how well."""

    @abc.abstractmethod
    def save(self, statistics: Statistics, folder: Path) -> None:
        """Write the files that `load` reads into a policy directory."""

    def save_next(self, statistics: Statistics, folder: Path, parent: Path) -> None:
        """Write the files that `save` writes; may copy what did not change from the policy that training resumed from.

        parent: the directory of that policy, which is of this agent with the same settings.
        """
        self.save(statistics, folder)

    @abc.abstractmethod
    def export_saved_model(self, folder: Path, dim: int, actions: int) -> None:
        """Add a TF-Agents SavedModel of the policy to the directory that `save` wrote, for other programs.

        Imports TensorFlow.
        """

    @abc.abstractmethod
    def load(self, folder: Path) -> Model:
        """The model that `save` wrote, ready to score."""

    def model(self, statistics: Statistics) -> Model:
        """The model of the statistics, ready to score: what `load` reads after `save`."""
        with tempfile.TemporaryDirectory() as folder:
            self.save(statistics, Path(folder))
            return self.load(Path(folder))


def one_hot(actions: np.ndarray, action_count: int) -> np.ndarray:
    """Probabilities [B, action_count] that are 1 for the actions [B] and 0 for all others."""
    probabilities = np.zeros((len(actions), action_count))
    probabilities[np.arange(len(actions)), actions] = 1.0
    return probabilities


def best_actions(scores: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
    """The eligible actions [B] with the highest scores [B, actions]; None: all are eligible."""
    return (scores if eligible is None else np.where(eligible, scores, -np.inf)).argmax(axis=1)


def append_zeros(array: np.ndarray, length: int, axis: int = 0) -> np.ndarray:
    """The array with zeros appended along one axis, up to a length."""
    widths = [(0, length - array.shape[axis]) if i == axis else (0, 0) for i in range(array.ndim)]
    return np.pad(array, widths)


def reward_sums(batch: Batch, actions: int) -> Statistics:
    """The number of interactions of each action in a batch, and the sum of their rewards, both [actions]."""
    return {
        "counts": np.bincount(batch.actions, minlength=actions),
        "rewards": np.bincount(batch.actions, batch.rewards, minlength=actions),
    }


def learning_metrics(statistics: Statistics) -> dict[str, float]:
    """Metrics that all agents report: interactions, actions taken at least once, and mean reward."""
    interactions = int(statistics["counts"].sum())
    return {
        "interactions": interactions,
        "arms_seen": int(np.count_nonzero(statistics["counts"])),
        "mean_reward": float(statistics["rewards"].sum() / max(1, interactions)),
    }
