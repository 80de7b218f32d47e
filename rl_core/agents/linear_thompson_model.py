"""The model of linear_thompson, as it is served: normal distributions of the actions' expected rewards."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from banditloop.rl_core.agents.agent import Model
from banditloop.rl_core.agents.arrays import Statistics, blocks
from banditloop.rl_core.agents.linear_prior import Regressions
from banditloop.rl_core.agents.probability_of_best import probabilities_of_best

MIN_ARMS_RATIO = 4  # copying the weights of the eligible arms pays where they are at most one in four


@dataclass(frozen=True)
class LinearThompsonModel(Model):
    """Weights [K, p] and their covariances, for standardised observations of p = dim + 1 numbers, the first a 1.

    spreads: alpha² times the covariances, a column per pair of the p numbers, [K, p (p + 1) / 2]. centre, scale: [dim],
    standardise observations.
    """

    weights: np.ndarray
    spreads: np.ndarray
    centre: np.ndarray
    scale: np.ndarray

    def __post_init__(self) -> None:
        (actions, p), dim = self.weights.shape, len(self.centre)
        if not (p == dim + 1 and self.scale.shape == (dim,) and self.spreads.shape == (actions, p * (p + 1) // 2)):
            raise ValueError("the arrays of a model differ in shape")

    @classmethod
    def of(cls, regressions: Regressions, alpha: float) -> "LinearThompsonModel":
        """The model of regressions of the actions."""
        units, means = regressions.scale, regressions.prior.means
        rows, columns = np.triu_indices(len(units.transform))
        factors = np.where(rows == columns, 1, 2) * (alpha * units.reward_deviation) ** 2
        scale = np.diag(units.transform)[1:].copy()
        centre = np.divide(-units.transform[1:, 0], scale, out=np.zeros_like(scale), where=scale > 0)
        weights, spreads = np.empty(means.shape), np.empty((len(means), len(rows)))
        for block in blocks(*regressions.sums.covariances.reshape(len(means), -1).shape):
            posterior = regressions.posterior(block)
            weights[block] = posterior.means * units.reward_deviation
            spreads[block] = posterior.covariances[:, rows, columns] * factors
        weights[:, 0] += units.reward
        return cls(weights, spreads, centre, scale)

    def arrays(self) -> Statistics:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.centre), len(self.weights)

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        arms = len(self.weights)
        if eligible is None:
            return probabilities_of_best(*self.rewards(observations))
        columns = np.flatnonzero(eligible.any(axis=0))
        if MIN_ARMS_RATIO * len(columns) > arms:
            means, deviations = self.rewards(observations)
            return probabilities_of_best(np.where(eligible, means, -np.inf), deviations)
        probabilities = np.zeros(eligible.shape)
        means, deviations = self.rewards(observations, columns)
        probabilities[:, columns] = probabilities_of_best(np.where(eligible[:, columns], means, -np.inf), deviations)
        return probabilities

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        return self._standardised(observations) @ self.weights.T

    def rewards(
        self, observations: np.ndarray, arms: np.ndarray | slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations [B, arms] of the expected rewards."""
        x = self._standardised(observations)
        rows, columns = self._pairs
        # Not `@`, whose rounding depends on the number of rows.
        variances = np.matvec(self.spreads[arms], x[:, rows] * x[:, columns])
        return np.matvec(self.weights[arms], x), np.sqrt(np.maximum(variances, np.finfo(float).tiny))

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, ...]:
        return np.triu_indices(self.weights.shape[1])

    def _standardised(self, observations: np.ndarray) -> np.ndarray:
        """Standardised observations [B, dim + 1] with a constant 1 first."""
        x = np.ones((len(observations), len(self.centre) + 1))
        x[:, 1:] = (observations - self.centre) * self.scale
        return x
