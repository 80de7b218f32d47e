"""Doubly robust: mean of Q + w (r - q).

Dudík, Langford, Li: Doubly Robust Policy Evaluation and Learning, ICML 2011. Unbiased if either the propensities or the
reward model are correct, provided the model was not fitted to the decisions it is used on
(banditloop.rl_core.estimators.reward_model).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from banditloop.rl_core.estimators.estimator import Estimator, Logged


@dataclass
class DR(Estimator):
    """The reward model's estimate, corrected by the model's weighted errors."""

    uses_model: ClassVar[bool] = True

    def terms(self, logged: Logged) -> np.ndarray:
        predicted_reward, expected_reward = logged.model()
        errors = logged.reward - predicted_reward
        return (expected_reward + self.error_weights(logged.weight) * errors)[:, None]

    def error_weights(self, weight: np.ndarray) -> np.ndarray:
        """The weights [B] of the model's errors, given the importance weights [B]."""
        return weight
