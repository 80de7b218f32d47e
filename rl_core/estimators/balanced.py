"""Balanced weights: one propensity for a log that several policies wrote.

Agarwal, Basu, Schnabel, Joachims: Effective Evaluation Using Logged Bandit Feedback from Multiple Loggers, KDD 2017.
With π / Σ_k share_k π_k in place of π / π_i, where policy i logged the decision, every estimator stays right and varies
less.
"""

import numpy as np


def balanced_propensity(probabilities: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The propensity [B] of logged actions under the mixture of their loggers.

    probabilities [loggers, B]: with which each of them would have chosen the logged action, whoever did. shares
    [loggers]: of the log that each wrote; they add up to 1.
    """
    return shares @ probabilities
