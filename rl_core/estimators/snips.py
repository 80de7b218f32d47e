"""Self-normalised IPS: Σ w r / Σ w.

Swaminathan, Joachims: The Self-Normalized Estimator for Counterfactual Learning, NeurIPS 2015.
"""

from dataclasses import dataclass

import numpy as np

from banditloop.rl_core.estimators.estimator import Estimator, Logged, ratio


@dataclass
class SNIPS(Estimator):
    """Stays within the range of the rewards; slightly biased, usually less variable than IPS."""

    def terms(self, logged: Logged) -> np.ndarray:
        return np.column_stack([logged.weight * logged.reward, logged.weight])

    def estimate(self, means: np.ndarray) -> tuple[float, np.ndarray]:
        return ratio(means)
