"""Features of observations in which values of actions are linear, and their least-squares solution (LSTD-Q).

Rahimi, Recht: Random Features for Large-Scale Kernel Machines, NIPS 2007; Lagoudakis, Parr: Least-Squares Policy
Iteration, JMLR 2003.
"""

from typing import NamedTuple, Self

import numpy as np

COSINES = 150  # random features
MAX_UNKNOWNS = 2_000  # of all actions together, beyond which there are fewer random features
ROWS = 2_000  # that are added up at a time


class QFeatures(NamedTuple):
    """A constant, the standardised observation, and cosines of random projections of it: a Gaussian kernel's features.

    means, scales: [dim], of the observations. frequencies: [dim, cosines]. phases: [cosines].
    """

    means: np.ndarray
    scales: np.ndarray
    frequencies: np.ndarray
    phases: np.ndarray

    @classmethod
    def fit(cls, observations: np.ndarray, actions: int, seed: int = 0) -> Self:
        """Features for observations [B, dim] like these, so many that `QEquations` of the actions can be solved."""
        cosines = int(np.clip(MAX_UNKNOWNS // actions - 1 - observations.shape[1], 0, COSINES))
        return cls.random(observations, cosines, 1.0, seed)

    @classmethod
    def random(cls, observations: np.ndarray, cosines: int, width: float, seed: int) -> Self:
        """Features for observations [B, dim] like these; always the same for a seed.

        width: of the kernel, in units of the typical distance of a standardised observation from the mean.
        """
        dim, random = observations.shape[1], np.random.default_rng(seed)
        scales = observations.std(axis=0, dtype=np.float64)
        frequencies = random.normal(size=(dim, cosines)) / (width * np.sqrt(max(1, dim)))
        phases = random.uniform(0, 2 * np.pi, cosines)
        means = observations.mean(axis=0, dtype=np.float64)
        return cls(means, np.where(scales > 0, scales, 1.0), frequencies, phases)

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """The features [B, 1 + dim + cosines] of observations [B, dim]."""
        standardised = (observations - self.means) / self.scales
        cosines = np.sqrt(2) * np.cos(standardised @ self.frequencies + self.phases)
        return np.column_stack([np.ones(len(standardised)), standardised, cosines])


class QEquations(NamedTuple):
    """The linear equations, matrix @ weights = vector, of the values of a policy's actions; they add up over steps.

    matrix: [actions, features, actions, features]. vector: [actions, features], or [actions, features, R] of several
    rewards.
    """

    matrix: np.ndarray
    vector: np.ndarray

    @classmethod
    def of(
        cls,
        features: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        next_features: np.ndarray,
        next_probabilities: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> Self:
        """The equations of steps: Σ x (x - γ x')ᵀ and Σ x r, where x are the features of the action taken.

        features, next_features: [B, features]. actions: [B]. rewards: [B], or several [B, R]. next_probabilities:
        [B, actions], with which the policy chooses next, times the discount; 0 where nothing follows. weights: [B], of
        the steps; None: 1.
        """
        count, size = next_probabilities.shape[1], features.shape[1]
        matrix, vector = np.zeros((count, size, count, size)), np.zeros((count, size, *rewards.shape[1:]))
        for start in range(0, len(actions), ROWS):
            for action in np.unique(actions[start : start + ROWS]):
                rows = start + np.flatnonzero(actions[start : start + ROWS] == action)
                x = features[rows]
                weighted = x.T if weights is None else x.T * weights[rows]
                following = next_probabilities[rows, :, None] * next_features[rows, None, :]
                matrix[action] -= (weighted @ following.reshape(len(rows), -1)).reshape(size, count, size)
                matrix[action, :, action] += weighted @ x
                vector[action] += weighted @ rewards[rows]
        return cls(matrix, vector)

    def plus(self, other: Self) -> Self:
        """The equations of both parts of the steps."""
        return type(self)(self.matrix + other.matrix, self.vector + other.vector)

    def minus(self, part: Self) -> Self:
        """The equations without those of a part of the steps."""
        return type(self)(self.matrix - part.matrix, self.vector - part.vector)

    def transposed(self, vector: np.ndarray) -> Self:
        """The transposed equations, with another vector."""
        return type(self)(self.matrix.transpose(2, 3, 0, 1), vector)

    def solve(self, l2: float) -> np.ndarray:
        """The weights, of the vector's shape, with l2 added on the matrix's diagonal."""
        shape = self.vector.shape
        size = shape[0] * shape[1]
        matrix = self.matrix.reshape(size, size) + l2 * np.eye(size)
        return np.linalg.solve(matrix, self.vector.reshape(size, -1)).reshape(shape)
