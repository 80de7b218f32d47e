"""Anytime-valid evidence: tests and bounds that hold however often one looks.

Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting, JRSS B 2024; Karampatziakis, Mineiro,
Ramdas: Off-policy Confidence Sequences, ICML 2021.

A gambler who bets a fixed fraction f against a hypothesis multiplies the wealth by 1 + f d / b at each decision, where
d is what the hypothesis says is at most 0 on average and -b is the least that d can be. Were the hypothesis true, the
wealth would hardly ever reach 1/α, at any time (Ville's inequality). The mean wealth of several gamblers keeps that,
and their log wealths are sums: evidence merges by addition, in any order.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from pydantic import Field

from rl_core.errors import InvalidInput
from rl_core.estimators.estimator import Logged
from rl_core.sections import Section

FRACTIONS = 0.5 ** np.arange(1, 13)
GRID = np.linspace(0.005, 1, 200)
STEP = 1e-3
AT_START = [[0.0] * len(FRACTIONS)] * 2


def wealth(logs: np.ndarray) -> np.ndarray:
    """The mean wealth, as a logarithm, of gamblers with log wealths [..., gamblers]."""
    top = logs.max(axis=-1)
    return top + np.log(np.mean(np.exp(logs - top[..., None]), axis=-1))


class Gate(Section):
    """Evidence that a candidate earns more than a champion less `margin`.

    With margin 0 that is superiority; with a positive one, in units of the reward, non-inferiority. Built up over any
    number of retrainings and looks at one lineage: a lineage in which the candidate is not better is promoted with
    probability at most α, ever.

    Half of the gamblers bet on the weighted rewards, d = (w_candidate - w_champion) r, which is at least minus the
    champion's largest weight; the others on the doubly robust difference, Q_candidate - Q_champion +
    (w_candidate - w_champion) (r - q), which varies less and may fall lower (Waudby-Smith, Wu, Ramdas, Karampatziakis,
    Mineiro: Anytime-valid Off-policy Inference for Contextual Bandits, 2022). Its model must not have been fitted to
    these decisions nor to later ones. It is given always or never: without one, nobody bets on it.
    """

    margin: float = Field(0.0, ge=0, description="how much less than the champion may be earned, in units of reward")
    count: int = Field(0, ge=0, description="decisions bet on")
    logs: list[list[float]] = Field(AT_START, description="log wealths: without and with a model, by fraction bet")

    def add(self, candidate: Logged, champion: Logged) -> Self:
        """The evidence with more decisions: the same ones beside either policy.

        Where several policies logged them, a call must be given whole stretches of the log, with each policy's share of
        the stretch in the propensities: over a part of one, a difference of 0 need not be 0 on average.

        Raises:
            InvalidInput: a weight is above its `largest`, which must be known beforehand and the same for all users.
        """
        _check("champion", champion)
        logs = np.array(self.logs)
        difference = (candidate.weight - champion.weight) * candidate.reward
        logs[0] += _log_wealths(difference + self.margin, champion.largest)
        if candidate.predicted is not None:
            _check("candidate", candidate)
            logs[1] += _log_wealths(_modelled(candidate, champion) + self.margin, _deepest(candidate, champion))
        return self._with(logs, len(difference))

    def restarted(self) -> Self:
        """The evidence where every gambler who lost starts anew: it sees a difference that came later as soon.

        Shin, Ramdas, Rinaldo: E-detectors, 2024. Over n looks it errs with probability at most n exp(-log wealth).
        """
        return self._with(np.maximum(self.logs, 0.0), 0)

    def wealth(self) -> float:
        """The gamblers' mean wealth, as a logarithm."""
        logs = np.array(self.logs)
        return float(wealth(logs.ravel() if logs[1].any() else logs[0]))

    def promotes(self, alpha: float = 0.05) -> bool:
        """Whether the evidence is enough, at this moment and with an error of at most alpha over all moments."""
        return self.wealth() >= -math.log(alpha)

    def __add__(self, other: Self) -> Self:
        if self.margin != other.margin:
            raise InvalidInput("gate: only evidence for the same margin merges")
        return self._with(np.array(self.logs) + np.array(other.logs), other.count)

    def _with(self, logs: np.ndarray, count: int) -> Self:
        return self.model_copy(update={"logs": logs.tolist(), "count": self.count + count})


def _check(name: str, logged: Logged) -> None:
    ratio = logged.weight / logged.largest
    if ratio.max(initial=0.0) > 1 + 1e-9:
        raise InvalidInput(f"gate: a weight of the {name} is {ratio.max():g} times the largest it was said to have")


def _modelled(candidate: Logged, champion: Logged) -> np.ndarray:
    """The doubly robust difference [B]."""
    predicted, expected = candidate.model()
    _, champions = champion.model()
    return expected - champions + (candidate.weight - champion.weight) * (candidate.reward - predicted)


def _deepest(candidate: Logged, champion: Logged) -> float | np.ndarray:
    """The least that the doubly robust difference can be, without its sign: both terms at their worst."""
    return 1 + np.maximum(candidate.largest, champion.largest)


def _log_wealths(gains: np.ndarray, deepest: float | np.ndarray) -> np.ndarray:
    """What betting each of FRACTIONS on gains [B], none below -deepest, adds to the log wealths."""
    return np.log1p(FRACTIONS * (gains / deepest)[:, None]).sum(axis=0)


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
    """Log wealths [means, gamblers] of betting that `gains`, which are never negative, average more than a mean.

    Gains are rounded down to steps, which only makes the bounds wider: so a million rewards are a thousand bets.
    """
    steps, times = np.unique(np.floor(gains / STEP), return_counts=True)
    logs = np.zeros((len(GRID), len(FRACTIONS)))
    for some, often in _chunks(steps * STEP, times):
        ratios = np.divide.outer(some, GRID) - 1
        for gambler, fraction in enumerate(FRACTIONS):
            logs[:, gambler] += often @ np.log1p(fraction * ratios)
    return logs


def _chunks(steps: np.ndarray, times: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    parts = max(1, len(steps) // 4096)
    return zip(np.array_split(steps, parts), np.array_split(times, parts), strict=True)
