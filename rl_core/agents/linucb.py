"""LinUCB with disjoint linear models, trained exactly from its sufficient statistics.

Li, Chu, Langford, Schapire: A Contextual-Bandit Approach to Personalized News Article Recommendation, WWW 2010,
algorithm 1. For each arm a, over its interactions: A_a = Σ x xᵀ, b_a = Σ r x, θ_a = (A_a + λI)⁻¹ b_a, and the policy
takes the arm with the highest θ_aᵀx + α √(xᵀ (A_a + λI)⁻¹ x). A and b are sums, so shards merge by addition and
yesterday's statistics plus today's interactions equal a full retrain.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import (
    Batch,
    Model,
    append_zeros,
    best_actions,
    learning_metrics,
    one_hot,
)
from banditloop.rl_core.agents.arrays import (
    ACTION_FEATURES,
    STATISTICS,
    WEIGHTS,
    Statistics,
    blocks,
    read_arrays,
    write_arrays,
)
from banditloop.rl_core.agents.mergeable import MergeableAgent
from banditloop.rl_core.agents.sums import add_interactions
from banditloop.rl_core.agents.whitening import largest_condition_number, whitening
from banditloop.rl_core.errors import InvalidInput

CHUNK_NUMBERS = 4_000_000  # 32 MB: more rows are scored one after the other
MIN_ARMS_RATIO = 4  # copying the weights of the eligible arms pays where they are at most one of four


@dataclass(frozen=True)
class LinUCBModel(Model):
    """theta [actions, dim], and whitening W [dim, actions, dim], where ‖xᵀW‖ is a confidence width at α = 1."""

    theta: np.ndarray
    whitening: np.ndarray
    alpha: float

    @property
    def shape(self) -> tuple[int, int]:
        actions, dim = self.theta.shape
        return dim, actions

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        arms = len(self.theta)
        if eligible is not None:
            columns = np.flatnonzero(eligible.any(axis=0))
            if 0 < MIN_ARMS_RATIO * len(columns) <= arms:
                best = best_actions(self._of(columns)._bounds(observations), eligible[:, columns])
                return one_hot(columns[best], arms)
        return one_hot(best_actions(self._bounds(observations), eligible), arms)

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        return observations @ self.theta.T

    def _bounds(self, observations: np.ndarray) -> np.ndarray:
        """Upper confidence bounds [B, actions]."""
        x = observations.astype(np.float64)
        bounds = x @ self.theta.T
        rows = max(1, CHUNK_NUMBERS // self.theta.size)
        for start in range(0, len(x), rows):
            bounds[start : start + rows] += self.alpha * self._widths(x[start : start + rows])
        return bounds

    def _widths(self, x: np.ndarray) -> np.ndarray:
        """Confidence widths [B, actions] at α = 1."""
        arms, dim = self.theta.shape
        whitened = (x @ self.whitening.reshape(dim, arms * dim)).reshape(len(x), arms, dim)
        return np.sqrt(np.vecdot(whitened, whitened))

    def _of(self, arms: np.ndarray) -> "LinUCBModel":
        """The model of some of the arms."""
        return replace(self, theta=self.theta[arms], whitening=self.whitening.take(arms, axis=1))


def _predicted_weights(features: np.ndarray, theta: np.ndarray, tried: np.ndarray) -> np.ndarray:
    """The weights [actions, dim] that features [actions, k] predict, by a ridge regression of the tried actions'.

    What it predicts are deviations from their mean.
    """
    centre, mean = features[tried].mean(axis=0), theta[tried].mean(axis=0)
    x, deviations = features - centre, theta[tried] - mean
    ridge = x[tried].T @ x[tried] + np.eye(x.shape[1])
    return mean + x @ np.linalg.solve(ridge, x[tried].T @ deviations)


class LinUCB(MergeableAgent):
    """Upper confidence bounds of one ridge regression per arm."""

    name: Literal["linucb"] = "linucb"
    alpha: float = Field(1.0, ge=0, description="width of the confidence bound, in standard deviations")
    l2: float = Field(1.0, gt=0, description="ridge weight λ; at 0 an untried action would have no estimate")

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        return {
            "covariances": np.zeros((actions, dim, dim)),
            "vectors": np.zeros((actions, dim)),
            "counts": np.zeros(actions, np.int64),
            "rewards": np.zeros(actions),
        }

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        return {name: append_zeros(array, actions) for name, array in statistics.items()}

    @property
    def learns_from_ids(self) -> bool:
        return False

    def accumulate(self, statistics: Statistics, batch: Batch) -> Statistics:
        return add_interactions(statistics, *batch[:4])

    def merge(self, left: Statistics, right: Statistics) -> Statistics:
        return {name: left[name] + right[name] for name in left}

    def solve(self, statistics: Statistics) -> LinUCBModel:
        """Solve the ridge regressions of the statistics.

        An untried action gets the weights that its features predict, or without features the mean of the others'.
        """
        covariances, vectors = statistics["covariances"], statistics["vectors"]
        arms, dim = vectors.shape
        theta, by_dim = np.empty((arms, dim)), np.empty((dim, arms, dim))  # the layout that _widths multiplies by
        for some in blocks(arms, dim * dim):
            whiteners = whitening(covariances[some], self.l2)
            theta[some] = np.matvec(whiteners, np.vecmat(vectors[some], whiteners))
            by_dim[:, some] = whiteners.swapaxes(0, 1)
        tried = statistics["counts"] > 0
        if tried.any() and not tried.all():
            features = statistics.get(ACTION_FEATURES, np.ones((len(tried), 1)))
            theta[~tried] = _predicted_weights(features, theta, tried)[~tried]
        return LinUCBModel(theta, by_dim, self.alpha)

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        condition_number = largest_condition_number(statistics["covariances"], self.l2)
        return learning_metrics(statistics) | {"condition_number": condition_number}

    def save(self, statistics: Statistics, folder: Path) -> None:
        model = self.solve(statistics)
        write_arrays(folder / WEIGHTS, {"theta": model.theta, "whitening": model.whitening})

    def export_saved_model(self, folder: Path, dim: int, actions: int) -> None:
        from banditloop.rl_core.agents.linucb_saved_model import save_linucb  # imports TensorFlow

        save_linucb(folder, dim, actions, self.alpha)

    def model(self, statistics: Statistics) -> LinUCBModel:
        return self.solve(statistics)

    def load(self, folder: Path) -> LinUCBModel:
        """The model of weights.npz. Does not import TensorFlow."""
        weights = read_arrays(folder / WEIGHTS)
        if "theta" not in weights:
            raise InvalidInput(f"{folder / WEIGHTS}: theta is missing; not the weights of a policy")
        if weights.keys() != {"theta", "whitening"}:  # written by an older version: solve the statistics again
            return self.solve(read_arrays(folder / STATISTICS))
        theta, by_dim = weights["theta"], weights["whitening"]
        if theta.ndim != 2 or by_dim.shape != (*theta.shape[::-1], theta.shape[-1]):
            raise InvalidInput(f"{folder / WEIGHTS}: theta and whitening differ in shape; not the weights of a policy")
        return LinUCBModel(theta, by_dim, self.alpha)
