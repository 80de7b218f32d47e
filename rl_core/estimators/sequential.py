"""Anytime-valid evidence: tests and bounds that hold however often one looks.

Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting, JRSS B 2024; Karampatziakis, Mineiro,
Ramdas: Off-policy Confidence Sequences, ICML 2021.

A gambler who bets a fixed fraction f against a hypothesis multiplies the wealth by 1 + f d / b at each decision, where
d is what the hypothesis says is at most 0 on average and -b is the least that d can be. Were the hypothesis true, the
wealth would hardly ever reach 1/α, at any time (Ville's inequality). The mean wealth of several gamblers keeps that,
and their log wealths are sums: evidence merges by addition, in any order.
"""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from rl_core.errors import InvalidInput
from rl_core.estimators.estimator import Logged

FRACTIONS = 0.5 ** np.arange(1, 13)
GRID = np.linspace(0.005, 1, 200)


def wealth(logs: np.ndarray) -> np.ndarray:
    """The mean wealth, as a logarithm, of gamblers with log wealths [..., gamblers]."""
    top = logs.max(axis=-1)
    return top + np.log(np.mean(np.exp(logs - top[..., None]), axis=-1))


@dataclass(frozen=True)
class Gate:
    """Evidence that a candidate earns more than a champion less `margin`.

    With margin 0 that is superiority; with a positive one, in units of the reward, non-inferiority. Built up over any
    number of retrainings and looks at one lineage: a lineage in which the candidate is not better is promoted with
    probability at most α, ever.

    `bound` is the largest weight that the champion can have, max π/p over all observations and actions: 1 where it
    logged the decisions itself. It must be known beforehand and the same for all, or it would reweight the users.
    """

    margin: float = 0.0
    bound: float = 1.0
    count: int = 0
    logs: np.ndarray = field(default_factory=lambda: np.zeros(len(FRACTIONS)))

    def add(self, candidate: Logged, champion: Logged) -> Self:
        """The evidence with more decisions: the same ones beside either policy.

        d = (w_candidate - w_champion) r + margin.

        Raises:
            InvalidInput: a weight of the champion is above the bound.
        """
        if (largest := champion.weight.max(initial=0.0)) > self.bound * (1 + 1e-9):
            raise InvalidInput(f"gate: a weight of the champion is {largest:g}, above its bound of {self.bound:g}")
        difference = (candidate.weight - champion.weight) * candidate.reward + self.margin
        logs = np.log1p(FRACTIONS * difference[:, None] / self.bound).sum(axis=0)
        return replace(self, count=self.count + len(difference), logs=self.logs + logs)

    def promotes(self, alpha: float = 0.05) -> bool:
        """Whether the evidence is enough, at this moment and with an error of at most alpha over all moments."""
        return bool(wealth(self.logs) >= np.log(1 / alpha))

    def __add__(self, other: Self) -> Self:
        if (self.margin, self.bound) != (other.margin, other.bound):
            raise InvalidInput("gate: only evidence for the same margin and bound merges")
        return replace(self, count=self.count + other.count, logs=self.logs + other.logs)


@dataclass(frozen=True)
class ConfidenceSequence:
    """Bounds on a policy's mean reward that hold at all times at once, from weights w with E[w] = 1.

    For every mean m on a grid, gamblers bet that w r averages more than m, and others that w (1 - r) averages more than
    1 - m. A mean against which the wealth has reached 2/α is out.
    """

    alpha: float = 0.05
    lower: np.ndarray = field(default_factory=lambda: np.zeros((len(GRID), len(FRACTIONS))))
    upper: np.ndarray = field(default_factory=lambda: np.zeros((len(GRID), len(FRACTIONS))))

    def add(self, logged: Logged) -> Self:
        """The bounds with more decisions."""
        weight, reward = logged.weight, logged.reward
        lower, upper = self.lower + _bets(weight * reward), self.upper + _bets(weight * (1 - reward))
        return type(self)(self.alpha, lower, upper)

    def interval(self) -> tuple[float, float]:
        """The bounds, to the grid."""
        needed = np.log(2 / self.alpha)
        above = GRID[wealth(self.lower) >= needed]
        below = 1 - GRID[wealth(self.upper) >= needed]
        return float(above.max(initial=0.0)), float(below.min(initial=1.0))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.alpha, self.lower + other.lower, self.upper + other.upper)


def _bets(gains: np.ndarray) -> np.ndarray:
    """Log wealths [means, gamblers] of betting that `gains`, which are never negative, average more than a mean."""
    some = gains[gains > 0]
    logs = np.zeros((len(GRID), len(FRACTIONS)))
    for rows in np.array_split(some, max(1, len(some) // 4096)):
        for gambler, fraction in enumerate(FRACTIONS):
            logs[:, gambler] += np.log1p(fraction * (np.divide.outer(rows, GRID) - 1)).sum(axis=0)
    return logs + (len(gains) - len(some)) * np.log1p(-FRACTIONS)
