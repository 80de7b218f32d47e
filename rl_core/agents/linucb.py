"""LinUCB with disjoint linear models, trained exactly from its sufficient statistics.

Li, Chu, Langford, Schapire: A Contextual-Bandit Approach to Personalized News Article Recommendation, WWW 2010,
algorithm 1. For each arm a, over its interactions: A_a = Σ x xᵀ, b_a = Σ r x, θ_a = (A_a + λI)⁻¹ b_a, and the policy
takes the arm with the highest θ_aᵀx + α √(xᵀ (A_a + λI)⁻¹ x). A and b are sums, so shards merge by addition and
yesterday's statistics plus today's interactions equal a full retrain.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import (
    Batch,
    append_zeros,
    learning_metrics,
)
from banditloop.rl_core.agents.arrays import (
    ACTION_FEATURES,
    STATISTICS,
    WEIGHTS,
    Statistics,
    blocks,
    read_arrays,
    stored_array,
)
from banditloop.rl_core.agents.linucb_model import LinUCBModel
from banditloop.rl_core.agents.mergeable import MergeableAgent
from banditloop.rl_core.agents.sums import add_interactions
from banditloop.rl_core.agents.whitening import largest_condition_number, whitening
from banditloop.rl_core.errors import InvalidInput


def _predicted_weights(features: np.ndarray, theta: np.ndarray, tried: np.ndarray) -> np.ndarray:
    """The weights [actions, dim] that features [actions, k] predict, by a ridge regression on the tried actions'.

    It predicts deviations from their mean.
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
        """Solve the ridge regressions of the statistics."""
        return self._solved(statistics, self._unsolved(statistics), np.arange(len(statistics["counts"])))

    def _unsolved(self, statistics: Statistics) -> LinUCBModel:
        arms, dim = statistics["vectors"].shape
        return LinUCBModel(np.zeros((arms, dim)), np.zeros((dim, arms, dim)), self.alpha)

    def _solved(self, statistics: Statistics, model: LinUCBModel, changed: np.ndarray) -> LinUCBModel:
        """The model with the changed actions, given by position, solved in its arrays.

        An untried action gets the weights that its features predict, or without features the mean of the others'.
        """
        covariances, vectors = statistics["covariances"], statistics["vectors"]
        for block in blocks(len(changed), covariances[:1].size):
            arms = changed[block]
            whiteners = whitening(covariances[arms], self.l2)
            model.theta[arms] = np.matvec(whiteners, np.vecmat(vectors[arms], whiteners))
            model.whitening[:, arms] = whiteners.swapaxes(0, 1)
        tried = statistics["counts"] > 0
        if tried.any() and not tried.all():
            features = statistics.get(ACTION_FEATURES, np.ones((len(tried), 1)))
            model.theta[~tried] = _predicted_weights(features, model.theta, tried)[~tried]
        return model

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        covariances, counts = statistics["covariances"], statistics["counts"]
        return learning_metrics(statistics) | {
            "condition_number": largest_condition_number(covariances, self.l2, counts)
        }

    def save(self, statistics: Statistics, folder: Path) -> None:
        self.solve(statistics).write(folder)

    def save_next(self, statistics: Statistics, folder: Path, parent: Path) -> None:
        """Solves only the actions with new interactions."""
        counts, before = statistics["counts"], stored_array(parent / STATISTICS, "counts")
        model = self._unsolved(statistics)
        changed = np.append(counts[: len(before)] != before, np.ones(len(counts) - len(before), bool))
        if not model.read(parent, len(before)):
            changed[:] = True
        self._solved(statistics, model, np.flatnonzero(changed)).write(folder)

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
