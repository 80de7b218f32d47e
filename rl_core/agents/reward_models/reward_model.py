"""The interface of a reward model."""

import abc
from collections.abc import Iterable
from typing import Any

import numpy as np

from banditloop.rl_core.agents.agent import Batch
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.section import Section


class RewardModel(Section, abc.ABC):
    """A model of the reward of every action in a context, with its hyperparameters.

    It is stateless, as an agent is: training returns statistics, and resumes from them. Weights are the arrays computed
    from statistics that are saved with a policy, and all that scoring needs.
    """

    name: str

    @property
    def is_mergeable(self) -> bool:
        """Whether statistics of disjoint interactions merge."""
        return False

    @property
    def learns_from_eligible(self) -> bool:
        """Whether training needs `Batch.eligible`."""
        return False

    @property
    def learns_from_ids(self) -> bool:
        """Whether training needs `Batch.ids`, which take a while to compute."""
        return True

    @abc.abstractmethod
    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        """The statistics of no interactions; `counts` [actions] among them: interactions of each action."""

    @abc.abstractmethod
    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        """The statistics with untried actions appended, `actions` in all."""

    @abc.abstractmethod
    def update(self, statistics: Statistics, batches: Iterable[Batch]) -> Statistics:
        """The statistics with interactions added; reads the batches once, one at a time."""

    def merge(self, left: Statistics, right: Statistics) -> Statistics:
        """The statistics of the interactions of both, where they merge."""
        raise NotImplementedError(f"statistics of {self.name} do not merge")

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        """Whether training can resume from the statistics of a reward model with these settings."""
        return other.get("name") == self.name

    @abc.abstractmethod
    def metrics(self, statistics: Statistics) -> dict[str, float]:
        """Training metrics."""

    @abc.abstractmethod
    def weights(self, statistics: Statistics) -> Statistics:
        """The arrays that `scores` needs."""

    @abc.abstractmethod
    def shape(self, weights: Statistics) -> tuple[int, int]:
        """The length of an observation, and the number of actions."""

    @abc.abstractmethod
    def scores(self, weights: Statistics, observations: Any, xp: Any = np) -> Any:
        """The expected reward of every action [B, actions], in double precision, for observations [B, dim].

        xp: the arrays' namespace, as in `exploration`.
        """

    @abc.abstractmethod
    def mean_scores(self, statistics: Statistics) -> np.ndarray:
        """The expected reward of every action [actions], averaged over the contexts of all interactions."""

    @abc.abstractmethod
    def error(self, statistics: Statistics) -> float:
        """The root mean squared error of the expected rewards, in units of the reward; 0 without interactions."""


def importance_weighted(batch: Batch) -> Batch:
    """The batch with its sample weights divided by the propensities. InvalidInput: it has none."""
    if batch.propensities is None:
        raise InvalidInput('agent.reward_model.cb_type: the interactions have no propensities; give "dm"')
    weights = 1.0 if batch.sample_weight is None else batch.sample_weight
    return batch._replace(sample_weight=weights / batch.propensities)
