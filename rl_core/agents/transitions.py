"""Transitions: steps of logged episodes as sequential agents and estimators read them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Transitions(NamedTuple):
    """Steps of episodes [B], in order: the rows of an episode are next to each other, first step first.

    observations: [B, dim]. actions: [B]. rewards: [B], summed with their discounts over the steps up to the next
    observation, of which there are more than one in multi-step returns. next_observations: [B, dim]; of any value where
    there is none. discounts: [B], of the value of the next observation; 0 where the episode ends before it.
    is_known: bool [B], whether what follows is known: False where an episode was cut off, so that neither an end nor
    a next observation is there. episodes: [B], numbers of the episodes, ascending. steps: [B], from 0 on.
    propensities: [B], with which the actions were chosen, in (0, 1]; NaN where unknown. sample_weight: [B]; None: 1.
    eligible, next_eligible: the actions that could be chosen at each observation and at the next, bool [B, actions];
    None: all of them.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_observations: np.ndarray
    discounts: np.ndarray
    is_known: np.ndarray
    episodes: np.ndarray
    steps: np.ndarray
    propensities: np.ndarray
    sample_weight: np.ndarray | None = None
    eligible: np.ndarray | None = None
    next_eligible: np.ndarray | None = None

    def take(self, rows: np.ndarray | slice) -> "Transitions":
        """Some of the transitions, by their positions, a mask or a slice."""
        return Transitions(*(column if column is None else column[rows] for column in self))  # type: ignore[arg-type]


def joined(batches: Sequence[Transitions]) -> Transitions:
    """Several batches, at least one, as one; no episode is in two of them."""
    lengths = [len(batch.actions) for batch in batches]
    numbers = [np.unique(batch.episodes, return_inverse=True)[1] for batch in batches]
    starts = np.cumsum([0, *(number.max(initial=-1) + 1 for number in numbers[:-1])])
    renumbered = [batch._replace(episodes=n + s) for batch, n, s in zip(batches, numbers, starts, strict=True)]
    return Transitions(*(_joined(column, lengths) for column in zip(*renumbered, strict=True)))  # type: ignore[arg-type]


def _joined(columns: Sequence[np.ndarray | None], lengths: Sequence[int]) -> np.ndarray | None:
    """The arrays of several batches as one. One that is missing is 1 in all rows; None: all are missing."""
    present = next((column for column in columns if column is not None), None)
    if present is None:
        return None
    shape, kind = present.shape[1:], present.dtype
    return np.concatenate(
        [np.ones((n, *shape), kind) if column is None else column for column, n in zip(columns, lengths, strict=True)]
    )
