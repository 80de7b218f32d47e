"""An estimate over episodes: its value, and what each episode contributes to its error."""

import math
from dataclasses import dataclass

import numpy as np

ROUNDING = 1e-12  # of weights that sum to 1


@dataclass(frozen=True)
class Estimate:
    """A value, and the influence [E] of each episode: the value is off by their mean, to first order.

    effective: the number of on-policy episodes with the same information. The influences of two estimates on the same
    episodes may be subtracted: the difference of two policies varies less than either where they act alike.
    """

    value: float
    influence: np.ndarray
    effective: float = math.inf

    def standard_error(self) -> float:
        """√(Σ influence² / (E (E - 1))): the jackknife, with the episode as the sample."""
        count = len(self.influence)
        return float(np.sqrt((self.influence**2).sum() / (count * (count - 1)))) if count > 1 else math.inf

    def degrees_of_freedom(self) -> float:
        """2 E / (κ - 1), where κ is the kurtosis of the influences, at most the effective episodes less 1; at least 1.

        Where few episodes matter, the standard error itself is uncertain (Satterthwaite: An Approximate Distribution of
        Estimates of Variance Components, Biometrics 1946). Of normal influences it is E.
        """
        squares = self.influence**2
        kurtosis = len(squares) * (squares**2).sum() / squares.sum() ** 2 if squares.any() else 3.0
        return float(np.clip(2 * len(squares) / max(kurtosis - 1, 2.0), 1.0, max(1.0, self.effective - 1)))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's interval of the policy's value; infinite with fewer than two episodes."""
        from scipy.special import stdtrit  # takes a tenth of a second to import

        half_width = stdtrit(self.degrees_of_freedom(), (1 + level) / 2) * self.standard_error()
        return self.value - float(half_width), self.value + float(half_width)

    def __add__(self, other: "Estimate") -> "Estimate":
        return self._with(other, self.value + other.value, self.influence + other.influence)

    def __sub__(self, other: "Estimate") -> "Estimate":
        value = _difference(np.array(self.value), np.array(other.value))
        return self._with(other, float(value), _difference(self.influence, other.influence))

    def __truediv__(self, other: "Estimate") -> "Estimate":
        """The ratio of two estimates; NaN if the other is 0."""
        ratio, scale = (self.value / other.value, other.value) if other.value else (math.nan, math.nan)
        return self._with(other, ratio, (self.influence - ratio * other.influence) / scale)

    def _with(self, other: "Estimate", value: float, influence: np.ndarray) -> "Estimate":
        return Estimate(value, influence, min(self.effective, other.effective))


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The differences of numbers; 0 where they are equal but for rounding: policies that act alike do not differ."""
    difference = first - second
    return np.where(np.abs(difference) <= ROUNDING * (np.abs(first) + np.abs(second)), 0.0, difference)


def undefined(count: int) -> Estimate:
    """The estimate of an estimator that is not defined on `count` episodes."""
    return Estimate(math.nan, np.full(count, math.nan), 0.0)


def weighted_mean(values: np.ndarray, shares: np.ndarray) -> Estimate:
    """The mean of values [E] of episodes with shares [E]."""
    return self_normalised(values[:, None], shares[:, None])


def self_normalised(terms: np.ndarray, weights: np.ndarray) -> Estimate:
    """The sum over columns of the weighted means of terms [E, K]; weights [E, K] sum to 1 in every column, or to 0."""
    means, influences = weighted_means(terms, weights)
    return Estimate(float(means.sum()), influences.sum(axis=1), float(effective_sizes(weights).min()))


def effective_sizes(weights: np.ndarray) -> np.ndarray:
    """The number of on-policy episodes with the same information as the weights in each column [E, K].

    1 / Σ W²; 0 where no episode has a weight. Kish: Survey Sampling, 1965.
    """
    squares = (weights**2).sum(axis=0)
    return np.divide(1.0, squares, out=np.zeros_like(squares), where=squares > 0)


def weighted_means(terms: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weighted means [K] of terms [E, K], and the influences of episodes on them [E, K].

    The influence of an episode is E - 1 times what the mean loses without it: w (x - mean) / (1 - w). A mean is 0
    without the only episode that has a weight.
    """
    means = (weights * terms).sum(axis=0)
    rest = 1 - weights
    alone = rest < ROUNDING
    lost = np.where(alone, terms, weights * (terms - means) / np.where(alone, 1.0, rest))
    return means, (len(terms) - 1) * lost
