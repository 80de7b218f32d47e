"""IPS with clipped weights: mean of min(w, M) r.

Ionides: Truncated Importance Sampling, JCGS 2008. Too low by what the clipped weights would have added.
"""

from dataclasses import dataclass

import numpy as np

from rl_core.estimators.estimator import Estimator, Logged


@dataclass
class ClippedIPS(Estimator):
    """Less variable than IPS, never above it."""

    largest: float = 10.0

    def terms(self, logged: Logged) -> np.ndarray:
        return (np.minimum(logged.weight, self.largest) * logged.reward)[:, None]
