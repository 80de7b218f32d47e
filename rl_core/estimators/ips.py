"""Inverse propensity scoring: mean of w r.

Horvitz, Thompson: A Generalization of Sampling Without Replacement From a Finite Universe, JASA 1952. Unbiased where
every action that the target takes was logged with positive probability.
"""

from dataclasses import dataclass

import numpy as np

from rl_core.estimators.estimator import Estimator, Logged


@dataclass
class IPS(Estimator):
    """Unbiased; as variable as its weights are large."""

    def terms(self, logged: Logged) -> np.ndarray:
        return (logged.weight * logged.reward)[:, None]
