"""Intervals for a number of decisions that was fixed beforehand, besides the normal one that every estimator has."""

import math

import numpy as np
from scipy import stats

from rl_core.estimators.estimator import Estimator, Logged


def empirical_bernstein(estimator: Estimator, largest: float, level: float = 0.95) -> tuple[float, float]:
    """For the mean of one term in [0, largest], whatever its distribution.

    √(2 V ln(4/δ) / n) + 7 b ln(4/δ) / (3 (n - 1)) to either side. Maurer, Pontil: Empirical Bernstein Bounds and
    Sample Variance Penalization, COLT 2009, theorem 4.
    """
    n = estimator.count
    if n < 2:
        return 0.0, largest
    log = math.log(4 / (1 - level))
    deviation = estimator.standard_error() * math.sqrt(2 * log) + 7 * largest * log / (3 * (n - 1))
    return max(0.0, estimator.value() - deviation), min(largest, estimator.value() + deviation)


def clopper_pearson(successes: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """For a share of independent successes, exactly.

    Clopper, Pearson: The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial, Biometrika 1934.
    """
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, successes, count - successes + 1) if successes else 0.0
    high = stats.beta.ppf(1 - tail, successes + 1, count - successes) if successes < count else 1.0
    return float(low), float(high)


class Bootstrap:
    """The percentile interval of an estimator over replicates in which each decision counts Poisson(1) times.

    Shards that are to be merged need seeds of their own.

    It needs no second pass. Chamandy, Muralidharan, Najmi, Naidu: Estimating Uncertainty for Massive Data Streams,
    2012.
    """

    def __init__(self, estimator: Estimator, replicates: int = 200, seed: int | None = None) -> None:
        self._estimator = estimator
        self._random = np.random.default_rng(seed)
        self._counts = np.zeros(replicates)
        self._sums: np.ndarray | float = 0.0

    def add(self, logged: Logged) -> None:
        """Take in more decisions."""
        terms = self._estimator.terms(logged)
        times = self._random.poisson(1.0, (len(self._counts), len(terms))).astype(np.float32)
        self._counts += times.sum(axis=1)
        self._sums = self._sums + times @ terms

    def __add__(self, other: "Bootstrap") -> "Bootstrap":
        merged = Bootstrap(self._estimator, len(self._counts))
        merged._counts, merged._sums = self._counts + other._counts, self._sums + other._sums
        return merged

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval between the percentiles; NaN where a tenth of the replicates or more have nothing to go by."""
        some = self._counts > 0
        if not some.any():
            return float("nan"), float("nan")
        means = np.asarray(self._sums)[some] / self._counts[some, None]
        values = np.array([self._estimator.combine(mean)[0] for mean in means])
        if np.isfinite(values).sum() <= 0.9 * len(some):
            return float("nan"), float("nan")
        low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)
