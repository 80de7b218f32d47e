"""Confidence sequence of a mean reward: bounds that hold at all times simultaneously, whatever the rewards' scale.

Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting, JRSS B 2024. Bettors stake different
fixed fractions against every possible mean; their log wealths are bounded from below by sums (see lower_bound.py), and
the mean wealth ever reaches 2/α against the true mean with probability at most α/2 (Ville's inequality).
"""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.lower_bound import equal_events
from banditloop.rl_core.evidence.logged import Logged

# Fractions of the wealth from 0.9 down to a millionth: enough for means of 1e-4 after a thousand million rewards.
BET_FRACTIONS = 1 / (1 + 2.0 ** np.arange(-3, 20))
BISECTIONS, LOG_SMALLEST = 50, -690.0


@dataclass(frozen=True)
class ConfidenceSequence:
    """Bounds on a policy's mean reward that hold at all times simultaneously, from weights w with E[w] = 1.

    The lower bound comes from bets that w r averages more than a mean, the upper one from bets on w (1 - r).

    Raises:
        InvalidInput: alpha is not between 0 and 1.
    """

    alpha: float = 0.05
    count: int = 0
    sums: np.ndarray = field(default_factory=lambda: np.zeros(2))  # of w r and of w (1 - r)
    squares: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise InvalidInput(f"alpha = {self.alpha:g}: must be above 0 and below 1")

    def add(self, logged: Logged) -> Self:
        """The confidence sequence with more decisions."""
        gains = logged.weight * np.stack([logged.reward, 1 - logged.reward])
        count, sums, squares = len(logged.reward), gains.sum(axis=1), (gains**2).sum(axis=1)
        return type(self)(self.alpha, self.count + count, self.sums + sums, self.squares + squares)

    def interval(self) -> tuple[float, float]:
        """The lower and the upper bound."""
        low, high = self._lower_bounds().tolist()
        return min(1.0, low), max(0.0, 1 - high)

    def __add__(self, other: Self) -> Self:
        if self.alpha != other.alpha:
            raise InvalidInput(f"alpha = {self.alpha:g} and {other.alpha:g}: only bounds of the same error merge")
        count, sums, squares = self.count + other.count, self.sums + other.sums, self.squares + other.squares
        return type(self)(self.alpha, count, sums, squares)

    def _lower_bounds(self) -> np.ndarray:
        """The largest means [2] of both gains that the bets refute, by bisection of their logarithms; 0 if none."""
        count, needed = max(1, self.count), math.log(2 / self.alpha)
        fraction, size = equal_events(self.sums / count, self.squares / count)
        refuted, plausible = np.full(2, LOG_SMALLEST), np.log(np.maximum(fraction * size, math.exp(LOG_SMALLEST)))
        for _ in range(BISECTIONS):
            middle = (refuted + plausible) / 2
            is_refuted = self._log_wealth(fraction[:, None], (size / np.exp(middle))[:, None]) >= needed
            refuted, plausible = np.where(is_refuted, middle, refuted), np.where(is_refuted, plausible, middle)
        return np.where(refuted > LOG_SMALLEST, np.exp(refuted), 0.0)

    def _log_wealth(self, fraction: np.ndarray, relative_size: np.ndarray) -> np.ndarray:
        """The logarithm of the bettors' mean wealth [2], if this fraction of the gains had this size, the others 0.

        The size is relative to the mean. Both arguments have the shape [2, 1].
        """
        events = np.log1p(BET_FRACTIONS * (relative_size - 1))
        log_wealths = self.count * (fraction * events + (1 - fraction) * np.log1p(-BET_FRACTIONS))
        top = log_wealths.max(axis=1)
        return top + np.log(np.exp(log_wealths - top[:, None]).mean(axis=1))
