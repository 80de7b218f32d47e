"""The interval of a policy's mean reward, or of the difference of two policies', from sums over logged decisions.

Every decision contributes z = w r, which is never below 0 and whose mean is the policy's mean reward v. For two
policies z = w1 r + w2 (1 - r), with the mean 1 + v1 - v2. A lower bound of its mean bounds v from below; that of the
losses 1 - r bounds v from above. Neither needs to know how large a weight can be: where large weights are rare, the
bounds are far apart.

Where the largest possible weight is known, w - 1 and Q - w q, whose means are 0, serve as control variates: z plus a
multiple of each varies less, as self-normalised and doubly robust estimates do. Its minimum is at a corner of what is
possible: weights 0 or largest, rewards and predictions 0 or 1.

Karampatziakis, Langford, Mineiro: Empirical Likelihood for Contextual Bandits, NeurIPS 2020.
"""

import itertools
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.lower_bound import lower_bound, mean_interval
from banditloop.rl_core.evidence.logged import Logged

ROUNDING = 1e-9
CONTRADICTION = 0.999  # level at which mean weights other than 1 refute the largest possible weight
TOO_LITTLE = "too little to tell"  # instead of an interval that says nothing
MAX_SPAN = 0.9  # of the possible range: a wider interval says nothing


def informative_interval(interval: tuple[float, float], least: float = 0.0) -> tuple[float, float]:
    """An interval in [least, 1]; NaN for both bounds if it says nothing."""
    low, high = interval
    return (low, high) if high - low <= MAX_SPAN * (1 - least) else (np.nan, np.nan)


@dataclass(frozen=True)
class ValueSums:
    """Sums of the terms s z, s w of each policy, s (Q - w q) with a reward model, and s, the sample weight.

    Mergeable by `+`. For two policies, Q and w in the third term are differences.
    """

    count: int = 0
    sums: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [terms]
    products: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))  # [terms, terms]
    max_weights: np.ndarray = field(default_factory=lambda: np.ones(1))  # of each policy; infinite: unknown
    max_sample_weight: float = 0.0

    @classmethod
    def of(cls, *policies: Logged, with_model: bool) -> Self:
        """The sums of a batch of decisions, for one policy or for the same decisions of two."""
        terms = value_terms(*policies, with_model=with_model)
        limits = np.array([known_max_weight(logged) for logged in policies])
        return cls(len(terms), terms.sum(axis=0), terms.T @ terms, limits, float(terms[:, -1].max(initial=0.0)))

    def __add__(self, other: Self) -> Self:
        if not (self.count and other.count):
            return self if self.count else other
        if self.sums.shape != other.sums.shape or self.max_weights.shape != other.max_weights.shape:
            raise InvalidInput("estimates with and without a reward model do not merge: give it with every batch")
        return type(self)(
            self.count + other.count,
            self.sums + other.sums,
            self.products + other.products,
            np.maximum(self.max_weights, other.max_weights),
            max(self.max_sample_weight, other.max_sample_weight),
        )

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval of v, or of v1 - v2, for a number of decisions fixed in advance; the whole range for none."""
        least = 1.0 - len(self.max_weights)
        if not self.count:
            return least, 1.0
        bounded = self._weights_are_bounded()
        matrices = np.eye(len(self.sums)), self._losses()
        low, of_losses = (self._lower_bound(matrix, bounded, level) for matrix in matrices)
        return max(least, least + low), min(1.0, 1 - of_losses)

    def _lower_bound(self, matrix: np.ndarray, bounded: bool, level: float) -> float:
        """The lower bound of the mean of the first term, after a matrix [terms, terms] is applied to all terms."""
        scale = self.sums[-1] / self.count  # sample weights have a mean of 1
        means = matrix @ self.sums / scale / self.count
        products = matrix @ self.products @ matrix.T / scale**2 / self.count
        if bounded:
            corners = self._corners() / scale @ matrix.T
            without_model = self._expected() > 0
            control_variates = without_model, np.ones(len(means), bool)
            coefficients = np.vstack(
                [np.eye(len(means))[0], *(_least_variance(means, products, used) for used in control_variates)]
            )
        else:
            corners, coefficients = np.zeros((1, len(means))), np.eye(len(means))[:1]
        constants = -coefficients[:, 1:] @ self._expected()[1:]
        floors = np.maximum(0.0, -(corners @ coefficients.T + constants).min(axis=0))
        shifts, linear = constants + floors, coefficients @ means
        squares = ((coefficients @ products) * coefficients).sum(axis=1) + 2 * shifts * linear + shifts**2
        return float((lower_bound(self.count, linear + shifts, squares, level) - floors).max())

    def _losses(self) -> np.ndarray:
        """The matrix [terms, terms] from the terms to those of the losses: Σ w - z for z, and minus (Q - w q)."""
        matrix, policies = np.eye(len(self.sums)), len(self.max_weights)
        matrix[0, : policies + 1] = [-1.0, *np.ones(policies)]
        matrix[policies + 1 : -1] *= -1
        return matrix

    def _expected(self) -> np.ndarray:
        """The known means of all terms but the first [terms]."""
        expected, policies = np.zeros(len(self.sums)), len(self.max_weights)
        expected[1 : policies + 1] = expected[-1] = 1.0
        return expected

    def _weights_are_bounded(self) -> bool:
        """Whether the largest weights are known, and mean weights of 1 are possible: if not, larger ones exist."""
        scale = self.sums[-1] / self.count
        for term, limit in enumerate(self.max_weights, start=1):
            mean, square = self.sums[term] / scale / self.count, self.products[term, term] / scale**2 / self.count
            low, high = mean_interval(self.count, mean, square, limit * self.max_sample_weight / scale, CONTRADICTION)
            if not (np.isfinite(limit) and low <= 1 + ROUNDING and high >= 1 - ROUNDING):
                return False
        return True

    def _corners(self) -> np.ndarray:
        """The terms [corners, terms] at the corners of what is possible: they are linear in every single variable."""
        policies, with_model = len(self.max_weights), len(self.sums) > len(self.max_weights) + 2
        unit = (0.0, 1.0)
        weights = itertools.product(*((0.0, limit) for limit in self.max_weights))
        corners = []
        for w, r, q in itertools.product(weights, unit, unit):
            z = w[0] * r + sum(w[1:]) * (1 - r)
            baselines = (1.0, 0.0) if policies == 1 else (1.0, -1.0)
            models = [baseline - (w[0] - sum(w[1:])) * q for baseline in baselines] if with_model else [None]
            corners += [[z, *w, *([] if model is None else [model]), 1.0] for model in models]
        return np.vstack([np.zeros(len(self.sums)), self.max_sample_weight * np.array(corners)])


def value_terms(*policies: Logged, with_model: bool) -> np.ndarray:
    """The terms [B, terms] of ValueSums.

    Raises:
        InvalidInput: two policies have different decisions.
    """
    first, second = policies[0], policies[1] if len(policies) > 1 else None
    z, contrast = first.weight * first.reward, first.weight
    if second is not None:
        if not np.array_equal(first.reward, second.reward):
            raise InvalidInput("difference: both policies need the same decisions; their rewards differ")
        z, contrast = z + second.weight * (1 - first.reward), contrast - second.weight
    columns = [z, *(logged.weight for logged in policies)]
    if with_model:
        predicted, expected = first.model()
        columns.append(expected - (0.0 if second is None else second.model()[1]) - contrast * predicted)
    return first.weighted(np.column_stack([*columns, np.ones(len(z))]))


def known_max_weight(logged: Logged) -> float:
    """The largest weight that is possible, by `max_weight`; infinite if a weight exceeds it: then it is not known."""
    exceeded = (logged.weight > np.asarray(logged.max_weight) * (1 + ROUNDING)).any()
    return np.inf if exceeded else float(np.max(logged.max_weight, initial=0.0))


def _least_variance(means: np.ndarray, products: np.ndarray, used: np.ndarray) -> np.ndarray:
    """The coefficients [terms] of the sum of least variance: 1 of the first term, any of the used, bool [terms]."""
    covariance = products - np.outer(means, means)
    varies = used & (covariance.diagonal() > 1e-12 * np.maximum(products.diagonal(), ROUNDING))
    scale = np.where(varies, np.sqrt(np.where(varies, covariance.diagonal(), 1.0)), np.inf)[1:]
    correlation = covariance[1:, 1:] / np.outer(scale, scale)
    slopes = np.linalg.pinv(correlation, rcond=ROUNDING, hermitian=True) @ (covariance[1:, 0] / scale) / scale
    return np.concatenate([[1.0], -slopes])
