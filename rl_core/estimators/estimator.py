"""What the estimators share: sums of a few terms per decision, and a smooth function of their means."""

import abc
from dataclasses import dataclass, field, fields, replace
from statistics import NormalDist
from typing import Self

import numpy as np

from rl_core.errors import InvalidInput


@dataclass(frozen=True)
class Logged:
    """Logged decisions beside a target policy: all of shape [B].

    reward in [0, 1]; propensity in (0, 1]; target, the target policy's probability of the logged action; predicted, a
    model's guess of the reward of the logged action; expected, the mean of its guesses over the target's actions.
    `largest` is the largest weight there could have been, whoever came: only anytime-valid evidence asks for it.
    It may differ between parts of the log, and not between users.
    `stands_for`: where not all decisions were logged, the traffic that each stands for, with a mean of 1. Estimates are
    of all traffic; anytime-valid evidence is of what was logged, which chance alone has chosen.
    """

    reward: np.ndarray
    propensity: np.ndarray
    target: np.ndarray
    predicted: np.ndarray | None = None
    expected: np.ndarray | None = None
    largest: float | np.ndarray = 1.0
    stands_for: np.ndarray | None = None

    def __post_init__(self) -> None:
        columns = [
            c for c in (self.reward, self.propensity, self.target, self.predicted, self.expected) if c is not None
        ]
        if len({column.shape for column in columns}) != 1 or self.reward.ndim != 1:
            raise InvalidInput("logged decisions: all columns must be of one length")
        if not all(np.isfinite(column).all() for column in columns):
            raise InvalidInput("logged decisions: every number must be finite")
        if not ((self.reward >= 0) & (self.reward <= 1)).all():
            raise InvalidInput("reward: estimators take rewards in [0, 1]; scale them by stated bounds first")
        if not ((self.propensity > 0) & (self.propensity <= 1 + 1e-9)).all():
            raise InvalidInput("propensity: must be above 0 and at most 1")
        if not ((self.target >= 0) & (self.target <= 1 + 1e-9)).all():
            raise InvalidInput("target: a probability must be from 0 to 1")

    @property
    def weight(self) -> np.ndarray:
        """The importance weights π / p."""
        return self.target / self.propensity

    def losses(self) -> Self:
        """The same decisions with 1 - reward in place of the reward: what is not earned."""
        predicted, expected = (None if guess is None else 1 - guess for guess in (self.predicted, self.expected))
        return replace(self, reward=1 - self.reward, predicted=predicted, expected=expected)

    def over(self, terms: np.ndarray) -> np.ndarray:
        """Terms [B, terms] of these decisions, weighted by what they stand for."""
        return terms if self.stands_for is None else terms * self.stands_for[:, None]

    def model(self) -> tuple[np.ndarray, np.ndarray]:
        """predicted and expected, or InvalidInput where no model was given."""
        if self.predicted is None or self.expected is None:
            raise InvalidInput("this estimator needs a reward model's predictions")
        return self.predicted, self.expected


@dataclass
class Estimator(abc.ABC):
    """An estimate of a policy's mean reward, that grows with what is added and merges with others of its kind."""

    count: int = field(default=0, init=False)
    sums: np.ndarray = field(default_factory=lambda: np.zeros(0), init=False)
    products: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), init=False)

    @abc.abstractmethod
    def terms(self, logged: Logged) -> np.ndarray:
        """What is summed over decisions: [B, terms]."""

    def combine(self, means: np.ndarray) -> tuple[float, np.ndarray]:
        """The estimate that the terms' means come to, and its gradient. As it stands: the one term's mean."""
        return float(means[0]), np.ones(1)

    def add(self, logged: Logged) -> None:
        """Take in more decisions."""
        self.take(logged.over(self.terms(logged)))

    def take(self, terms: np.ndarray) -> None:
        """Take in terms [B, terms] as they are: of a difference, say, of two policies on the same decisions."""
        sums, products = terms.sum(axis=0), terms.T @ terms
        self.sums, self.products = (self.sums + sums, self.products + products) if self.count else (sums, products)
        self.count += len(terms)

    def value(self) -> float:
        """The estimate; NaN where nothing that counts was added."""
        return self.combine(self.sums / self.count)[0] if self.count else float("nan")

    def standard_error(self) -> float:
        """By the delta method: √(gᵀ Cov g / n)."""
        if self.count < 2:
            return float("inf")
        means = self.sums / self.count
        _, gradient = self.combine(means)
        if not np.isfinite(gradient).all():
            return float("inf")
        covariance = (self.products / self.count - np.outer(means, means)) * self.count / (self.count - 1)
        return float(np.sqrt(max(0.0, gradient @ covariance @ gradient) / self.count))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The normal interval for a number of decisions that was fixed beforehand."""
        half = NormalDist().inv_cdf((1 + level) / 2) * self.standard_error()
        return self.value() - half, self.value() + half

    def __add__(self, other: Self) -> Self:
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        merged = type(self)(**settings)
        parts = [part for part in (self, other) if part.count]
        merged.count = sum(part.count for part in parts)
        if parts:
            merged.sums = np.sum([part.sums for part in parts], axis=0)
            merged.products = np.sum([part.products for part in parts], axis=0)
        return merged


def ratio(means: np.ndarray) -> tuple[float, np.ndarray]:
    """The ratio of two terms' means, and its gradient; NaN where the denominator is 0."""
    top, bottom = means
    if bottom == 0:
        return float("nan"), np.full(2, np.nan)
    return float(top / bottom), np.array([1 / bottom, -top / bottom**2])
