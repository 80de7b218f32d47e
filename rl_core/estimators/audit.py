"""The propensity audit of one version: whether actions were chosen as often as their logged probabilities say."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Audit:
    """Sums over decisions of K actions; `Audit.of` makes one of a batch, and they merge by addition.

    Two tests. χ² of the actions' counts O against their expectation E = Σ p, with the covariance Σ diag(p) - p pᵀ that
    probabilities which differ from decision to decision have. And the mean of 1 / propensity, which is K whatever the
    policy, as Σ p / p is: it needs no probabilities but those of the chosen actions.
    """

    count: int
    surplus: np.ndarray  # O - E [K]
    covariance: np.ndarray  # [K, K]
    inverse: float
    inverse_squares: float

    @classmethod
    def of(cls, actions: np.ndarray, propensities: np.ndarray, probabilities: np.ndarray) -> Self:
        """The audit of decisions: actions [B], propensities [B], probabilities [B, K]."""
        surplus = np.bincount(actions, minlength=probabilities.shape[1]) - probabilities.sum(axis=0)
        covariance = np.diag(probabilities.sum(axis=0)) - probabilities.T @ probabilities
        inverse = 1 / propensities
        return cls(len(actions), surplus, covariance, float(inverse.sum()), float(inverse @ inverse))

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.count + other.count,
            self.surplus + other.surplus,
            self.covariance + other.covariance,
            self.inverse + other.inverse,
            self.inverse_squares + other.inverse_squares,
        )

    def chi_square(self) -> float:
        """The p-value of the actions' counts."""
        statistic = self.surplus @ np.linalg.pinv(self.covariance, rcond=1e-9, hermitian=True) @ self.surplus
        freedom = np.linalg.matrix_rank(self.covariance, rtol=1e-9, hermitian=True)
        return float(stats.chi2.sf(statistic, freedom)) if freedom else 1.0

    def inverse_propensity(self) -> float:
        """The p-value of the mean of 1 / propensity."""
        mean = self.inverse / self.count
        variance = self.inverse_squares / self.count - mean**2
        surplus = mean - len(self.surplus)
        if variance <= 1e-12 * mean**2:
            return float(abs(surplus) <= 1e-6 * mean)
        return float(2 * stats.norm.sf(abs(surplus) / np.sqrt(variance / self.count)))

    def passes(self, level: float = 1e-4) -> bool:
        """Whether neither test rejects; a version with true propensities fails one in 1 / (2 level) audits."""
        return min(self.chi_square(), self.inverse_propensity()) >= level
