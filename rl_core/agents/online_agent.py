"""The interface of an agent that learns from the episodes of its own policy, loop after loop."""

import abc
from typing import NamedTuple

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.sequential_agent import SequentialAgent
from banditloop.rl_core.agents.transitions import Transitions


class Learned(NamedTuple):
    """The statistics after a loop, and its measures by name, such as policy_loss: the same names in every loop."""

    statistics: Statistics
    measures: dict[str, float]


class OnlineAgent(SequentialAgent):
    """A sequential agent that learns while it plays in an environment: a loop plays episodes, then it learns from them.

    Its statistics hold all that it needs to continue after a loop.
    """

    def exploration(self, statistics: Statistics) -> float:
        """The fraction of the next loop's decisions to draw uniformly, besides what its policy itself explores."""
        return 0.0

    @abc.abstractmethod
    def learn(self, statistics: Statistics, played: Transitions) -> Learned:
        """The statistics with the episodes of a loop added, which its policy played with these statistics.

        played: whole episodes, all `is_known`: one that was cut off has a next observation.
        """
