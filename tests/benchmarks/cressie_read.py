"""The Cressie-Read interval of a policy's mean reward, as in vw-estimators, written anew as a reference.

Karampatziakis, Langford, Mineiro: Empirical Likelihood for Contextual Bandits, NeurIPS 2020. The likelihood ratio is
replaced by its quadratic approximation; one decision that was not observed is added, with the smallest or largest
weight and the reward that moves the bound furthest.
"""

import math

import numpy as np
from scipy import stats

TINY = 1e-18


def cressie_read(weight: np.ndarray, reward: np.ndarray, max_weight: float = math.inf) -> tuple[float, float]:
    """The 95 % interval from weights [n] in [0, max_weight] and rewards [n] in [0, 1]."""
    largest, smallest, critical = max(max_weight, weight.max()), weight.min(), _critical(weight, max_weight)
    low = min(_bound(weight, weight * reward, 0.0, w, critical) for w in (min(0.0, smallest), largest))
    losses = min(_bound(weight, weight * (1 - reward), 0.0, w, critical) for w in (min(0.0, smallest), largest))
    return min(1.0, max(0.0, low)), max(0.0, min(1.0, 1 - losses))


def _critical(weight: np.ndarray, max_weight: float) -> float:
    """Twice the divergence allowed beyond what a mean weight of 1 needs, per decision."""
    n, total = len(weight), weight.sum()
    unseen = max(max_weight, weight.max()) if total < n else min(0.0, weight.min())
    if math.isinf(unseen):
        needed = 1 + 1 / n
    else:
        mean, square = (unseen + total) / (n + 1), (unseen**2 + weight @ weight) / (n + 1)
        needed = (n + 1) * (mean - 1) ** 2 / (square - mean**2) if square > mean**2 else 0.0
    return (needed + stats.f.isf(0.05, 1, n)) / (n + 1)


def _bound(weight: np.ndarray, gain: np.ndarray, unseen_gain: float, unseen: float, critical: float) -> float:
    """The least mean gain given a mean weight of 1; infinite if the unseen decision makes none possible."""
    n = len(weight)
    if math.isinf(unseen):
        center, variance = gain.mean(), (gain @ gain) / (n + 1) - gain.sum() ** 2 / (n * (n + 1))
        return center - math.sqrt(max(0.0, variance) * max(0.0, critical - 1 / n)) if critical >= 1 / n else math.inf
    weight, gain = np.append(weight, unseen), np.append(gain, unseen_gain)
    spread = weight.var()
    if spread <= TINY:
        return math.inf if abs(weight.mean() - 1) > TINY else float(gain.mean() - math.sqrt(gain.var() * critical))
    slope = ((weight * gain).mean() - weight.mean() * gain.mean()) / spread
    rest = critical - (1 - weight.mean()) ** 2 / spread
    if rest < 0:
        return math.inf
    return gain.mean() + slope * (1 - weight.mean()) - math.sqrt(max(0.0, gain.var() - slope**2 * spread) * rest)
