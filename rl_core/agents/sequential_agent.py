"""The interface of an agent that learns from episodes."""

import abc
import logging
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from banditloop.rl_core.agents.agent import Agent, append_zeros
from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.transitions import Transitions

log = logging.getLogger("banditloop.training")


class SequentialAgent(Agent):
    """An agent whose decisions change what comes next: it learns values of whole episodes, not of single rewards.

    Its model is that of any agent: `probabilities` of actions, and as `expected_rewards` of each action the discounted
    sum of rewards from here to the end of the episode. What it learns depends on all transitions together, so every
    training starts anew, from the whole log.
    """

    LEARNS_FROM_LOG: ClassVar[bool] = True
    """Whether `update` learns; if not, the agent learns only from episodes of its own policy, in an environment."""

    @abc.abstractmethod
    def update(self, statistics: Statistics, batches: Iterable[Transitions]) -> Statistics:  # type: ignore[override]
        """The statistics of a training on transitions; all batches are held in memory."""

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        return False


def initial_counts(actions: int) -> Statistics:
    """The counts of no transitions, as all sequential agents keep them in their statistics."""
    return {"counts": np.zeros(actions, np.int64), "rewards": np.zeros(actions)}


def transition_counts(transitions: Transitions, actions: int) -> Statistics:
    """How often each action was taken, and the sum of its rewards, both [actions]."""
    counts = np.bincount(transitions.actions, minlength=actions)
    return {"counts": counts, "rewards": np.bincount(transitions.actions, transitions.rewards, minlength=actions)}


def followed(transitions: Transitions, actions: int) -> Transitions:
    """The transitions after which it is known what follows, with next_eligible limited to actions that these took.

    The values of other actions are extrapolated, and the highest of several values is often the one that is most wrong,
    so they are left out. They stay where no other action is eligible.
    """
    known = transitions.take(transitions.is_known)
    if not len(known.actions):
        log.warning("nothing is learned: every episode is cut off after one step; say which of them ended (terminal)")
    tried, eligible = tried_actions(known, actions), known.next_eligible
    if tried.all():
        return known
    mask = np.tile(tried, (len(known.actions), 1)) if eligible is None else eligible & tried
    all_eligible = np.ones_like(mask) if eligible is None else eligible
    return known._replace(next_eligible=np.where(mask.any(axis=1, keepdims=True), mask, all_eligible))


def tried_actions(transitions: Transitions, actions: int) -> np.ndarray:
    """Whether each action was taken, bool [actions]."""
    return np.bincount(transitions.actions, minlength=actions) > 0


def with_untried(
    statistics: Statistics, actions: int, last_layer: tuple[str, ...], tried: np.ndarray | None = None
) -> Statistics:
    """The statistics for `actions` actions, of which those that were not tried have the mean value of the others.

    last_layer: names of arrays that values are linear in, whose last axis is the actions'. tried: bool [actions];
    None: those that were ever taken.
    """
    names = *last_layer, "counts", "rewards"
    grown = {name: append_zeros(statistics[name], actions, statistics[name].ndim - 1) for name in names}
    tried = grown["counts"] > 0 if tried is None else tried
    for name in last_layer:
        grown[name][..., ~tried] = grown[name][..., tried].mean(axis=-1, keepdims=True) if tried.any() else 0
    return statistics | grown
