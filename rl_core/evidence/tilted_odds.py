"""Likelihood ratios of an event of known probability against the same event at other odds.

Where the probability is right, each ratio has a mean of exactly 1 at every decision, given all earlier ones. So the
product over decisions is a wealth that ever reaches 1 / α with probability at most α (Ville's inequality), at any
number of decisions and however often one looks (Ramdas, Grünwald, Vovk, Shafer: Game-theoretic statistics and safe
anytime-valid inference, Statistical Science 2023).
"""

import numpy as np


def log_likelihood_ratios(happened: np.ndarray, probabilities: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """Log ratios [B, odds] for events that happened or not, bool [B], of these probabilities [B].

    odds: by how much each alternative multiplies the odds p / (1 - p).
    """
    return happened[:, None] * np.log(odds) - np.log1p((odds - 1) * probabilities[:, None])
