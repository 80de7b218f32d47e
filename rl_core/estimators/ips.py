"""Inverse propensity scoring: mean of w r.

Horvitz, Thompson: A Generalization of Sampling Without Replacement From a Finite Universe, JASA 1952. Unbiased if every
action that the target policy can take was logged with positive probability.
"""

from dataclasses import dataclass

import numpy as np

from banditloop.rl_core.estimators.estimator import Estimator, Logged


@dataclass
class IPS(Estimator):
    """Unbiased; its variance grows with the weights."""

    def terms(self, logged: Logged) -> np.ndarray:
        return (logged.weight * logged.reward)[:, None]
