"""Features of logged steps, in which values of actions are linear."""

from typing import NamedTuple

import numpy as np

from banditloop.rl_core.agents.q_features import QFeatures
from banditloop.rl_core.agents.transitions import Transitions

MOST_UNKNOWNS = 3_000  # of linear equations, which take half a gigabyte


class StepFeatures(NamedTuple):
    """The features of steps by their positions, computed when asked for: of a million, they would take a gigabyte.

    observed: [B, dim]. features: of these; None: these themselves.
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
    """Whether values depend on the step: some episode was cut off, or rewards are not discounted."""
    return not transitions.is_known.all() or bool((transitions.discounts >= 1).any())
