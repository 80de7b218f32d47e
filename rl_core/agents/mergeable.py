"""Agents whose statistics are sums, so that those of shards merge."""

import abc
from collections.abc import Iterable
from functools import reduce

from banditloop.rl_core.agents.agent import Agent, Batch
from banditloop.rl_core.agents.arrays import Statistics, copied


class MergeableAgent(Agent):
    """An agent whose statistics are sums over interactions, so statistics of disjoint shards merge by addition."""

    @property
    def is_mergeable(self) -> bool:
        """Whether statistics merge with these hyperparameters; if not, only `update` is called, and never `merge`."""
        return True

    @abc.abstractmethod
    def accumulate(self, statistics: Statistics, batch: Batch) -> Statistics:
        """The statistics with a batch added; may change the given arrays."""

    @abc.abstractmethod
    def merge(self, left: Statistics, right: Statistics) -> Statistics:
        """The statistics of the interactions of both, as if they had been accumulated together."""

    def add(self, statistics: Statistics, batches: Iterable[Batch], before: Statistics | None) -> Statistics:
        """The statistics with the batches added; may change the given arrays.

        before: the statistics that the whole training resumed from; None if the agent does not learn from them.
        """
        return reduce(self.accumulate, batches, statistics)

    def update(self, statistics: Statistics, batches: Iterable[Batch]) -> Statistics:
        return self.add(copied(statistics), batches, statistics)


def mergeable(agent: Agent) -> MergeableAgent | None:
    """The agent, if its statistics merge."""
    return agent if isinstance(agent, MergeableAgent) and agent.is_mergeable else None
