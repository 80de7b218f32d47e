"""Balanced weights: one propensity for a log that several policies wrote.

Agarwal, Basu, Schnabel, Joachims: Effective Evaluation Using Logged Bandit Feedback from Multiple Loggers, KDD 2017.
With weights π / Σ_k mix_k π_k instead of π / π_i, where policy i logged the decision, every estimator remains valid and
has a lower variance.
"""

import numpy as np


def balanced_propensity(probabilities: np.ndarray, mix: np.ndarray) -> np.ndarray:
    """The propensity [B] of logged actions under the mixture of the logging policies.

    probabilities [policies, B]: each policy's probability of the logged action, whichever policy logged it.
    mix [policies]: the fraction of the log that each policy wrote; sums to 1.
    """
    return mix @ probabilities
