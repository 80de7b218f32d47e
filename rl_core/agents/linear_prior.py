"""Bayesian linear regressions of several actions under one normal prior, which is fitted to them (empirical Bayes).

The weights of an action with features z are normal with mean M z and covariance S; rewards have normal noise of
variance σ². M, S and σ² are fitted by expectation maximisation, from the sums of each action alone (Laird, Ware:
Random-Effects Models for Longitudinal Data, Biometrics 1982).
"""

from typing import NamedTuple, Self

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics

FEWEST_STEPS, MOST_STEPS, ACTIONS_PER_STEP = 8, 40, 20
PRIOR_ACTIONS = 300  # the prior is fitted to about so many; more would only take longer
ROUNDING = 1e-13  # a variance of less than this share of the mean square is taken for rounding errors


class Sums(NamedTuple):
    """Σ w x xᵀ [K, p, p], Σ w r x [K, p] and Σ w r² [K] of each action, where x begins with a constant 1."""

    covariances: np.ndarray
    vectors: np.ndarray
    squares: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """Σ w [K]."""
        return self.covariances[:, 0, 0]

    @classmethod
    def of(cls, statistics: Statistics, prefix: str = "") -> Self:
        """The arrays of these names, after a prefix, in an agent's statistics."""
        return cls(*(statistics[prefix + name] for name in cls._fields))

    def take(self, actions: np.ndarray | slice) -> Self:
        """The sums of some of the actions."""
        return type(self)(*(array[actions] for array in self))

    def standardised(self, scale: "Scale") -> "Sums":
        """These sums after standardising features and rewards."""
        covariances = scale.transform @ self.covariances @ scale.transform.T
        squares = self.squares - 2 * scale.reward * self.vectors[:, 0] + scale.reward**2 * self.weights
        vectors = (self.vectors - scale.reward * self.covariances[:, 0]) @ scale.transform.T
        unit = scale.reward_deviation
        return Sums(covariances, vectors / unit, np.maximum(squares, 0) / unit**2)


class Scale(NamedTuple):
    """The standardisation of features and rewards to a mean of 0 and a variance of 1: x becomes transform @ x.

    The leading 1 stays, and any other constant feature becomes 0. transform: [p, p]. reward, reward_deviation: mean and
    standard deviation of the rewards.
    """

    transform: np.ndarray
    reward: float
    reward_deviation: float

    @classmethod
    def of(cls, sums: Sums) -> "Scale":
        """The scale of the interactions in the sums."""
        total, interactions = sums.covariances.sum(axis=0), max(float(sums.weights.sum()), 1e-300)
        means, squares = total[0] / interactions, np.diag(total) / interactions
        variances = squares - means**2
        varies = variances > ROUNDING * squares
        scale = np.divide(1, np.sqrt(np.maximum(variances, 0)), out=np.zeros(len(means)), where=varies)
        transform = np.diag(scale)
        transform[:, 0] = -means * scale
        transform[0, 0] = 1
        reward, square = float(sums.vectors[:, 0].sum()) / interactions, float(sums.squares.sum()) / interactions
        variance = square - reward**2
        return cls(transform, reward, float(np.sqrt(variance if variance > ROUNDING * square else square or 1.0)))


class Prior(NamedTuple):
    """Mean [K, p] of each action's weights, their covariance [p, p], and the variance of the noise."""

    means: np.ndarray
    covariance: np.ndarray
    noise: float


class Posterior(NamedTuple):
    """Means [K, p] and covariances [K, p, p] of the actions' weights, and the variance of the noise."""

    means: np.ndarray
    covariances: np.ndarray
    noise: float


class Regressions(NamedTuple):
    """The sums of actions, how to standardise them, and the prior of standardised weights that is fitted to them."""

    sums: Sums
    scale: Scale
    prior: Prior

    @classmethod
    def fitted(cls, sums: Sums, features: np.ndarray) -> Self:
        """The regressions with a prior fitted to the sums. features: of the actions [K, k], a constant first."""
        (actions, dim), scale = sums.vectors.shape, Scale.of(sums)
        seen = np.flatnonzero(sums.weights > 0)
        sample = seen[:: max(1, len(seen) // PRIOR_ACTIONS)]
        fitted_to = sums.take(sample).standardised(scale)
        prior = Prior(np.zeros((actions, dim)), np.eye(dim), 1.0)
        for _ in range(_steps(len(seen))):
            posterior = _posterior(fitted_to, prior, prior.means[sample])
            prior = _fitted_prior(fitted_to, posterior, features[sample], features)
        return cls(sums, scale, prior)

    def posterior(self, actions: np.ndarray | slice) -> Posterior:
        """The posterior of some of the actions, standardised.

        An action without interactions has the prior's covariance around the mean that its features predict.
        """
        sums, means = self.sums.take(actions), self.prior.means[actions].copy()
        seen, covariances = sums.weights > 0, np.tile(self.prior.covariance, (len(means), 1, 1))
        tried = sums.take(seen).standardised(self.scale)
        means[seen], covariances[seen], _ = _posterior(tried, self.prior, means[seen])
        return Posterior(means, covariances, self.prior.noise)


def _steps(actions: int) -> int:
    """The steps of expectation maximisation, from a wide prior, for a number of actions with interactions.

    Stopping early keeps the prior wide where few actions tell what is usual; many steps are needed where each of many
    actions has few interactions (`make bench-learn`: 20 and 1,682 movies).
    """
    return min(MOST_STEPS, max(FEWEST_STEPS, actions // ACTIONS_PER_STEP)) if actions else 0


def _posterior(sums: Sums, prior: Prior, means: np.ndarray) -> Posterior:
    """The posterior of actions whose weights have these prior means [K, p]."""
    precision = np.linalg.inv(prior.covariance)
    covariances = np.linalg.inv(sums.covariances / prior.noise + precision)
    covariances = (covariances + covariances.swapaxes(1, 2)) / 2
    targets = sums.vectors / prior.noise + means @ precision
    return Posterior(np.matvec(covariances, targets), covariances, prior.noise)


def _fitted_prior(sums: Sums, posterior: Posterior, z: np.ndarray, features: np.ndarray) -> Prior:
    """The prior that maximises the expected likelihood of actions with features z, slightly regularised.

    Its means are predicted for all actions, by their features.
    """
    means, covariances, _ = posterior
    actions, dim = means.shape
    loadings = np.linalg.solve(z.T @ z + np.eye(z.shape[1]), z.T @ means)
    deviations = means - z @ loadings
    scatter = deviations.T @ deviations + covariances.sum(axis=0)
    scatter += 2 * np.trace(scatter) / (dim * actions) * np.eye(dim)
    return Prior(features @ loadings, scatter / (actions + 2), _noise(sums, posterior))


def _noise(sums: Sums, posterior: Posterior) -> float:
    """The variance of the noise: the mean expected squared error, slightly regularised.

    Products are summed by action: `np.vdot` of all would start threads, for milliseconds on a busy machine.
    """
    means, covariances, _ = posterior
    explained = np.vecdot(means, 2 * sums.vectors - np.matvec(sums.covariances, means)).sum()
    spread = np.vecdot(sums.covariances, covariances).sum()
    errors = float(sums.squares.sum() - explained + spread)
    return max(1e-6, (errors + 1e-3) / (float(sums.weights.sum()) + 1))
