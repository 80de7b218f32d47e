"""Further confidence intervals for a number of decisions fixed in advance, besides `Estimator.interval`."""

import math

import numpy as np

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.estimator import Estimator, Logged

MIN_DEFINED_REPLICATES = 0.9


def empirical_bernstein(estimator: Estimator, max_term: float, level: float = 0.95) -> tuple[float, float]:
    """The interval for the mean of one term in [0, max_term], whatever its distribution.

    Half-width √(2 V ln(4/δ) / n) + 7 b ln(4/δ) / (3 (n - 1)), with b = max_term. Maurer, Pontil: Empirical Bernstein
    Bounds and Sample Variance Penalization, COLT 2009, theorem 4.
    """
    n = estimator.count
    if n < 2:
        return 0.0, max_term
    log = math.log(4 / (1 - level))
    half_width = estimator.standard_error() * math.sqrt(2 * log) + 7 * max_term * log / (3 * (n - 1))
    return max(0.0, estimator.value() - half_width), min(max_term, estimator.value() + half_width)


def clopper_pearson(successes: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval for the probability of independent successes.

    Clopper, Pearson: The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial, Biometrika 1934.

    Raises:
        InvalidInput: there are fewer than 0 successes, or more than the count.
    """
    if not 0 <= successes <= count:
        raise InvalidInput(f"successes = {successes} of {count}: must be from 0 to the count")
    from scipy.special import betaincinv  # takes a tenth of a second to import

    tail = (1 - level) / 2
    low = betaincinv(successes, count - successes + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, count - successes, 1 - tail) if successes < count else 1.0
    return float(low), float(high)


class Bootstrap:
    """Percentile interval of an estimator over replicates that count each decision Poisson(1) times.

    Needs no second pass over the log. Shards to be merged need different seeds. It misses what no replicate can show:
    rewards or weights that are rare in the log.

    Chamandy, Muralidharan, Najmi, Naidu: Estimating Uncertainty for Massive Data Streams, 2012.
    """

    def __init__(self, estimator: Estimator, replicates: int = 200, seed: int | None = None) -> None:
        self._estimator = estimator
        self._random = np.random.default_rng(seed)
        self._sample_weights = np.zeros(replicates)  # sums
        self._sums: np.ndarray | float = 0.0

    def add(self, logged: Logged) -> None:
        """Add a batch of decisions."""
        terms, sample_weights = logged.weighted(self._estimator.terms(logged)), logged.sample_weights()
        multiplicities = self._random.poisson(1.0, (len(self._sample_weights), len(terms))).astype(np.float32)
        self._sample_weights += multiplicities @ sample_weights
        self._sums = self._sums + multiplicities @ terms

    def __add__(self, other: "Bootstrap") -> "Bootstrap":
        """The bootstrap of both logs.

        Raises:
            InvalidInput: their estimators differ, or their numbers of replicates.
        """
        replicates = len(self._sample_weights), len(other._sample_weights)
        if replicates[0] != replicates[1]:
            raise InvalidInput(f"bootstraps of {replicates[0]} and {replicates[1]} replicates do not merge")
        merged = Bootstrap(self._estimator + other._estimator, replicates[0])
        merged._sample_weights = self._sample_weights + other._sample_weights
        merged._sums = self._sums + other._sums
        return merged

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval between the percentiles; NaN if the estimate is undefined in a tenth or more of replicates."""
        nonempty = self._sample_weights > 0
        if not nonempty.any():
            return float("nan"), float("nan")
        means = np.asarray(self._sums)[nonempty] / self._sample_weights[nonempty, None]
        values = np.array([self._estimator.estimate(mean)[0] for mean in means])
        if np.isfinite(values).sum() <= MIN_DEFINED_REPLICATES * len(nonempty):
            return float("nan"), float("nan")
        low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)
