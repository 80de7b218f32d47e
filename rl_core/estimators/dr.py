"""Doubly robust: mean of Q + w (r - q).

Dudík, Langford, Li: Doubly Robust Policy Evaluation and Learning, ICML 2011. Right where either the propensities or the
model are, if the model was not fitted to the decisions it is used on (rl_core.estimators.reward_model).
"""

from dataclasses import dataclass

import numpy as np

from rl_core.estimators.estimator import Estimator, Logged


@dataclass
class DR(Estimator):
    """The model's estimate, corrected by its weighted errors."""

    def terms(self, logged: Logged) -> np.ndarray:
        predicted, expected = logged.model()
        return (expected + self.correcting(logged.weight) * (logged.reward - predicted))[:, None]

    def correcting(self, weight: np.ndarray) -> np.ndarray:
        """The weights of the errors."""
        return weight
