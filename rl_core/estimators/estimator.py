"""The base of all estimators: sums of a few terms per decision, and a smooth function of the terms' means."""

import abc
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

import numpy as np

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.value_interval import ValueSums
from banditloop.rl_core.evidence.logged import Logged

__all__ = ["Estimator", "Logged", "ratio"]


@dataclass
class Estimator(abc.ABC):
    """A streaming estimate of a policy's mean reward; estimators of the same kind and settings merge by addition."""

    uses_model: ClassVar[bool] = False  # whether it needs a reward model's predictions

    count: int = field(default=0, init=False)
    sample_weight: float = field(default=0.0, init=False)  # sum; equal to count if everything was logged
    sums: np.ndarray = field(default_factory=lambda: np.zeros(0), init=False)
    products: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), init=False)
    value_sums: ValueSums = field(default_factory=ValueSums, init=False)

    @abc.abstractmethod
    def terms(self, logged: Logged) -> np.ndarray:
        """The terms [B, terms] that are summed over decisions."""

    def estimate(self, means: np.ndarray) -> tuple[float, np.ndarray]:
        """The estimate as a function of the terms' means [terms], and its gradient. Default: the mean of the term."""
        return float(means[0]), np.ones(1)

    def add(self, logged: Logged) -> None:
        """Add a batch of decisions."""
        terms = logged.weighted(self.terms(logged))
        value_sums = self.value_sums + ValueSums.of(logged, with_model=self.uses_model)
        sums, products = terms.sum(axis=0), terms.T @ terms
        self.sums, self.products = (self.sums + sums, self.products + products) if self.count else (sums, products)
        self.count, self.sample_weight = self.count + len(terms), self.sample_weight + logged.sample_weights().sum()
        self.value_sums = value_sums

    def value(self) -> float:
        """The estimate; NaN without decisions or if the estimator is undefined on them."""
        return self.estimate(self.sums / self.sample_weight)[0] if self.count else float("nan")

    def standard_error(self) -> float:
        """The standard error by the delta method: √(gᵀ Cov g / n). It is too small where few decisions matter."""
        if self.count < 2:
            return float("inf")
        scale = self.sample_weight / self.count
        means = self.sums / self.sample_weight
        _, gradient = self.estimate(means)
        if not np.isfinite(gradient).all():
            return float("inf")
        covariance = self.products / scale**2 / self.count - np.outer(means, means)
        return float(np.sqrt(max(0.0, gradient @ covariance @ gradient) / (self.count - 1)))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval of the policy's mean reward, in [0, 1], for a number of decisions fixed in advance.

        It contains the mean reward itself, not only this estimator's expectation, and does not depend on the kind of
        estimator beyond the use of a reward model. An estimate outside it is contradicted by the log: the estimator is
        biased, or the mean weight is far from 1. [0, 1] without decisions.
        """
        return self.value_sums.interval(level)

    def __add__(self, other: Self) -> Self:
        _require_same_kind(self, other)
        merged = type(self)(**_settings(self))
        nonempty = [estimator for estimator in (self, other) if estimator.count]
        merged.count = sum(estimator.count for estimator in nonempty)
        merged.sample_weight = sum(estimator.sample_weight for estimator in nonempty)
        merged.value_sums = self.value_sums + other.value_sums
        if nonempty:
            merged.sums = np.sum([estimator.sums for estimator in nonempty], axis=0)
            merged.products = np.sum([estimator.products for estimator in nonempty], axis=0)
        return merged

    def describe(self) -> str:
        """The kind and the settings, "ClippedIPS(max_weight=10)"."""
        return f"{type(self).__name__}({', '.join(f'{name}={value:g}' for name, value in _settings(self).items())})"


def _settings(estimator: Estimator) -> dict[str, Any]:
    return {f.name: getattr(estimator, f.name) for f in fields(estimator) if f.init}


def _require_same_kind(first: Estimator, second: Estimator) -> None:
    if type(first) is not type(second) or _settings(first) != _settings(second):
        raise InvalidInput(
            f"estimators of one kind with the same settings merge, not {first.describe()} and {second.describe()}"
        )


def ratio(means: np.ndarray) -> tuple[float, np.ndarray]:
    """The ratio of the means [2] of two terms, and its gradient [2]; NaN if the denominator is 0."""
    numerator, denominator = means
    if denominator == 0:
        return float("nan"), np.full(2, np.nan)
    return float(numerator / denominator), np.array([1 / denominator, -numerator / denominator**2])
