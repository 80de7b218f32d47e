"""Confidence sequence of a mean reward: bounds that hold at all times simultaneously.

Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting, JRSS B 2024.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from banditloop.rl_core.estimators.anytime_valid import BET_FRACTIONS, log_mean_exp
from banditloop.rl_core.estimators.estimator import Logged

MEAN_GRID = np.linspace(0.005, 1, 200)
GAIN_STEP = 1e-3
CHUNK = 4096


def _no_wealth() -> np.ndarray:
    return np.zeros((len(MEAN_GRID), len(BET_FRACTIONS)))


@dataclass(frozen=True)
class ConfidenceSequence:
    """Bounds on a policy's mean reward that hold at all times simultaneously, from weights w with E[w] = 1.

    For every mean m on a grid, some bettors bet that w r averages more than m, others that w (1 - r) averages more than
    1 - m. A mean is excluded once the wealth of the bets against it reaches 2/α.
    """

    alpha: float = 0.05
    lower: np.ndarray = field(default_factory=_no_wealth)  # log wealths [means, fractions] of bets on higher means
    upper: np.ndarray = field(default_factory=_no_wealth)  # the same of bets on lower means, by 1 - m

    def add(self, logged: Logged) -> Self:
        """The confidence sequence with more decisions."""
        weight, reward = logged.weight, logged.reward
        lower, upper = self.lower + _log_growth(weight * reward), self.upper + _log_growth(weight * (1 - reward))
        return type(self)(self.alpha, lower, upper)

    def interval(self) -> tuple[float, float]:
        """The lower and the upper bound, in steps of the grid."""
        threshold = np.log(2 / self.alpha)
        excluded_below = MEAN_GRID[log_mean_exp(self.lower) >= threshold]
        excluded_above = 1 - MEAN_GRID[log_mean_exp(self.upper) >= threshold]
        return float(excluded_below.max(initial=0.0)), float(excluded_above.min(initial=1.0))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.alpha, self.lower + other.lower, self.upper + other.upper)


def _log_growth(gains: np.ndarray) -> np.ndarray:
    """The increase of the log wealths [means, fractions] from betting that gains [B] >= 0 average more than a mean.

    Gains are rounded down to multiples of GAIN_STEP, which only widens the bounds: a million rewards then need only
    about a thousand distinct bets.
    """
    steps, counts = np.unique(np.floor(gains / GAIN_STEP), return_counts=True)
    growth = _no_wealth()
    for chunk, chunk_counts in _chunks(steps * GAIN_STEP, counts):
        relative_gains = np.divide.outer(chunk, MEAN_GRID) - 1
        for column, fraction in enumerate(BET_FRACTIONS):
            growth[:, column] += chunk_counts @ np.log1p(fraction * relative_gains)
    return growth


def _chunks(gains: np.ndarray, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Gains and their counts in chunks, to limit memory."""
    parts = max(1, len(gains) // CHUNK)
    return zip(np.array_split(gains, parts), np.array_split(counts, parts), strict=True)
