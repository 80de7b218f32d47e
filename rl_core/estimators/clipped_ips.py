"""IPS with clipped weights: mean of min(w, M) r.

Ionides: Truncated Importance Sampling, JCGS 2008. Biased downwards by the clipped part of the weights.
"""

from dataclasses import dataclass

import numpy as np

from banditloop.rl_core.estimators.estimator import Estimator, Logged


@dataclass
class ClippedIPS(Estimator):
    """Less variable than IPS, and never above it."""

    max_weight: float = 10.0

    def terms(self, logged: Logged) -> np.ndarray:
        return (np.minimum(logged.weight, self.max_weight) * logged.reward)[:, None]
