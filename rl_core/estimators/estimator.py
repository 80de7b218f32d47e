"""The base of all estimators: sums of a few terms per decision, and a smooth function of the terms' means."""

import abc
from dataclasses import dataclass, field, fields, replace
from statistics import NormalDist
from typing import Self

import numpy as np

from banditloop.rl_core.errors import InvalidInput


@dataclass(frozen=True)
class Logged:
    """Logged decisions with the probabilities of a target policy; all columns have shape [B].

    reward: in [0, 1].
    propensity: in (0, 1], the logging policy's probability of the logged action.
    target: in [0, 1], the target policy's probability of the logged action.
    predicted_reward: a reward model's prediction for the logged action.
    expected_reward: the mean of the model's predictions over the target policy's actions.
    max_weight: upper bound of the importance weight. It may differ between parts of the log, but not between users.
        Only anytime-valid evidence uses it.
    sample_weight: inverse logging probability, scaled to a mean of 1; None if everything was logged. Estimates use it
        to describe all traffic; anytime-valid evidence describes the logged decisions, which are a random sample.

    Raises:
        InvalidInput: the columns differ in length, or a number is outside its range.
    """

    reward: np.ndarray
    propensity: np.ndarray
    target: np.ndarray
    predicted_reward: np.ndarray | None = None
    expected_reward: np.ndarray | None = None
    max_weight: float | np.ndarray = 1.0
    sample_weight: np.ndarray | None = None

    def __post_init__(self) -> None:
        optional = (self.predicted_reward, self.expected_reward)
        columns = [self.reward, self.propensity, self.target, *(column for column in optional if column is not None)]
        if len({column.shape for column in columns}) != 1 or self.reward.ndim != 1:
            raise InvalidInput("logged decisions: all columns must be of one length")
        if not all(np.isfinite(column).all() for column in columns):
            raise InvalidInput("logged decisions: every number must be finite")
        if not ((self.reward >= 0) & (self.reward <= 1)).all():
            raise InvalidInput("reward: estimators take rewards in [0, 1]; scale them by known bounds first")
        if not ((self.propensity > 0) & (self.propensity <= 1 + 1e-9)).all():
            raise InvalidInput("propensity: must be above 0 and at most 1")
        if not ((self.target >= 0) & (self.target <= 1 + 1e-9)).all():
            raise InvalidInput("target: a probability must be from 0 to 1")

    @property
    def weight(self) -> np.ndarray:
        """The importance weights π / p [B]."""
        return self.target / self.propensity

    def losses(self) -> Self:
        """The same decisions with the loss, 1 - reward, in place of the reward."""
        predicted, expected = (
            None if rewards is None else 1 - rewards for rewards in (self.predicted_reward, self.expected_reward)
        )
        return replace(self, reward=1 - self.reward, predicted_reward=predicted, expected_reward=expected)

    def weighted(self, terms: np.ndarray) -> np.ndarray:
        """Terms [B, terms] of these decisions, multiplied by the sample weights."""
        return terms if self.sample_weight is None else terms * self.sample_weight[:, None]

    def model(self) -> tuple[np.ndarray, np.ndarray]:
        """predicted_reward [B] and expected_reward [B].

        Raises:
            InvalidInput: the decisions have no reward model's predictions.
        """
        if self.predicted_reward is None or self.expected_reward is None:
            raise InvalidInput("this estimator needs a reward model's predictions")
        return self.predicted_reward, self.expected_reward


@dataclass
class Estimator(abc.ABC):
    """A streaming estimate of a policy's mean reward; estimators of the same kind and settings merge by addition."""

    count: int = field(default=0, init=False)
    sums: np.ndarray = field(default_factory=lambda: np.zeros(0), init=False)
    products: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), init=False)

    @abc.abstractmethod
    def terms(self, logged: Logged) -> np.ndarray:
        """The terms [B, terms] that are summed over decisions."""

    def estimate(self, means: np.ndarray) -> tuple[float, np.ndarray]:
        """The estimate as a function of the terms' means [terms], and its gradient. Default: the mean of the term."""
        return float(means[0]), np.ones(1)

    def add(self, logged: Logged) -> None:
        """Add a batch of decisions."""
        self.add_terms(logged.weighted(self.terms(logged)))

    def add_terms(self, terms: np.ndarray) -> None:
        """Add terms [B, terms] without weighting them, such as differences of two policies on the same decisions."""
        sums, products = terms.sum(axis=0), terms.T @ terms
        self.sums, self.products = (self.sums + sums, self.products + products) if self.count else (sums, products)
        self.count += len(terms)

    def value(self) -> float:
        """The estimate; NaN without decisions or if the estimator is undefined on them."""
        return self.estimate(self.sums / self.count)[0] if self.count else float("nan")

    def standard_error(self) -> float:
        """The standard error by the delta method: √(gᵀ Cov g / n)."""
        if self.count < 2:
            return float("inf")
        means = self.sums / self.count
        _, gradient = self.estimate(means)
        if not np.isfinite(gradient).all():
            return float("inf")
        covariance = (self.products / self.count - np.outer(means, means)) * self.count / (self.count - 1)
        return float(np.sqrt(max(0.0, gradient @ covariance @ gradient) / self.count))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The normal confidence interval, valid for a number of decisions fixed in advance."""
        half_width = NormalDist().inv_cdf((1 + level) / 2) * self.standard_error()
        return self.value() - half_width, self.value() + half_width

    def __add__(self, other: Self) -> Self:
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        merged = type(self)(**settings)
        nonempty = [estimator for estimator in (self, other) if estimator.count]
        merged.count = sum(estimator.count for estimator in nonempty)
        if nonempty:
            merged.sums = np.sum([estimator.sums for estimator in nonempty], axis=0)
            merged.products = np.sum([estimator.products for estimator in nonempty], axis=0)
        return merged


def ratio(means: np.ndarray) -> tuple[float, np.ndarray]:
    """The ratio of the means [2] of two terms, and its gradient [2]; NaN if the denominator is 0."""
    numerator, denominator = means
    if denominator == 0:
        return float("nan"), np.full(2, np.nan)
    return float(numerator / denominator), np.array([1 / denominator, -numerator / denominator**2])
