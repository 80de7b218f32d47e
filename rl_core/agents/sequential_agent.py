"""The interface of an agent that learns from episodes."""

import abc
from collections.abc import Iterable
from typing import Any

from banditloop.rl_core.agents.agent import Agent
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.transitions import Transitions


class SequentialAgent(Agent):
    """An agent whose decisions change what comes next: it learns values of whole episodes, not of single rewards.

    Its model is that of any agent: `probabilities` of actions, and as `expected_rewards` the discounted sum of rewards
    from here to the end of the episode, of every action. What it learns depends on all transitions together, so every
    training starts anew, from the whole log.
    """

    @abc.abstractmethod
    def update(self, statistics: Statistics, batches: Iterable[Transitions]) -> Statistics:  # type: ignore[override]
        """The statistics of a training on transitions; all batches are held in memory."""

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        return False
