"""Features of logged steps, in which values of actions are linear."""

from typing import NamedTuple

import numpy as np

from banditloop.rl_core.agents.q_features import QFeatures
from banditloop.rl_core.agents.transitions import Transitions

AT_LIMIT = 0.1  # share of episodes as long as the longest; above it, episodes are taken to have a limit of steps
MOST_UNKNOWNS = 3_000  # of linear equations, which take half a gigabyte


class StepFeatures(NamedTuple):
    """The features of steps by their positions, computed when needed: those of a million would take a gigabyte.

    observed: [B, dim]. features: the features of these; None: these themselves.
    """

    observed: np.ndarray
    features: QFeatures | None = None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """The features [len(rows), F] of steps."""
        observed = self.observed[rows]
        return observed if self.features is None else self.features(observed)


def observed_features(transitions: Transitions, actions: int) -> StepFeatures | None:
    """Random features of the observations, and of the step where values depend on it.

    None without observations, and where the values of all actions would have more than `MOST_UNKNOWNS` unknowns.
    """
    observed = transitions.observations
    if not observed.shape[1]:
        return None
    if depends_on_step(transitions):
        observed = np.column_stack([observed, transitions.steps])
    if (1 + observed.shape[1]) * actions > MOST_UNKNOWNS:
        return None
    return StepFeatures(observed, QFeatures.fit(observed, actions))


def depends_on_step(transitions: Transitions) -> bool:
    """Whether values depend on the step: episodes were cut off, or end by a limit, or rewards are not discounted."""
    return not transitions.is_known.all() or bool((transitions.discounts >= 1).any()) or _has_limit(transitions)


def _has_limit(transitions: Transitions) -> bool:
    """Whether episodes end by a number of steps: more than a few are as long as the longest, of several steps."""
    lengths = np.bincount(transitions.episodes)
    return bool(lengths.max() > 1 and (lengths == lengths.max()).mean() > AT_LIMIT)
