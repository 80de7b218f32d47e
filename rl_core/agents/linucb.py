"""LinUCB with disjoint linear models, trained exactly from its sufficient statistics.

Li, Chu, Langford, Schapire: A Contextual-Bandit Approach to Personalized News Article Recommendation, WWW 2010,
algorithm 1. For each arm a, over its interactions: A_a = Σ x xᵀ, b_a = Σ r x, θ_a = (A_a + λI)⁻¹ b_a, and the policy
takes the arm with the highest θ_aᵀx + α √(xᵀ (A_a + λI)⁻¹ x). A and b are sums, so shards merge by addition and
yesterday's statistics plus today's interactions equal a full retrain.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from rl_core.agents.agent import Additive, Batch, Model, certain, seen, tally
from rl_core.agents.arrays import SAVED_MODEL, STATISTICS, WEIGHTS, Arrays, read_arrays, write_arrays
from rl_core.errors import InvalidInput


@dataclass(frozen=True)
class LinUCBModel(Model):
    """theta [actions, dim], and whitening [dim, actions, dim], with which ‖xᵀW‖² is a confidence bound's square."""

    theta: np.ndarray
    whitening: np.ndarray
    alpha: float

    @property
    def shape(self) -> tuple[int, int]:
        actions, dim = self.theta.shape
        return dim, actions

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        return certain(self._bounds(observations).argmax(axis=1), len(self.theta))

    def expected(self, observations: np.ndarray) -> np.ndarray:
        return observations @ self.theta.T

    def _bounds(self, observations: np.ndarray) -> np.ndarray:
        """Upper confidence bounds [B, actions]."""
        arms, dim = self.theta.shape
        x = observations.astype(np.float64)
        whitened = (x @ self.whitening.reshape(dim, arms * dim)).reshape(len(x), arms, dim)
        return x @ self.theta.T + self.alpha * np.sqrt(np.vecdot(whitened, whitened))


class LinUCB(Additive):
    """Upper confidence bounds on one ridge regression per arm."""

    name: Literal["linucb"] = "linucb"
    alpha: float = Field(1.0, ge=0, description="width of the confidence bound, in standard deviations")
    tikhonov: float = Field(1.0, gt=0, description="ridge weight λ; at 0 an arm never seen has no estimate")

    def start(self, dim: int, actions: int) -> Arrays:
        return {
            "covariances": np.zeros((actions, dim, dim)),
            "vectors": np.zeros((actions, dim)),
            "counts": np.zeros(actions, np.int64),
            "rewards": np.zeros(actions),
        }

    def accumulate(self, statistics: Arrays, batch: Batch) -> Arrays:
        observations, actions, rewards, weights = batch
        arms = len(statistics["counts"])
        order = np.argsort(actions.astype(np.uint16), kind="stable")  # a radix sort for 16-bit integers
        x, r = observations[order].astype(np.float64), rewards[order]
        weighted = x if weights is None else x * weights[order, None]
        delta = self.start(x.shape[1], arms) | tally(batch, arms)
        counts = delta["counts"]
        ends = np.cumsum(counts)
        for arm in np.flatnonzero(counts):
            rows = slice(ends[arm] - counts[arm], ends[arm])
            delta["covariances"][arm] = weighted[rows].T @ x[rows]
            delta["vectors"][arm] = r[rows] @ weighted[rows]
        return self.merge(statistics, delta)

    def merge(self, left: Arrays, right: Arrays) -> Arrays:
        return {name: left[name] + right[name] for name in left}

    def solve(self, statistics: Arrays) -> LinUCBModel:
        """The model that these statistics come to."""
        # A = QΛQᵀ; with W = Q(Λ + λI)^-½, ‖xᵀW‖² = xᵀ(A + λI)⁻¹x
        values, vectors = np.linalg.eigh(statistics["covariances"])
        whiteners = vectors / np.sqrt(np.maximum(values, 0) + self.tikhonov)[:, None, :]
        theta = np.einsum("aij,aj->ai", whiteners, np.einsum("aij,ai->aj", whiteners, statistics["vectors"]))
        whitening = np.ascontiguousarray(whiteners.swapaxes(0, 1))  # as it is multiplied
        return LinUCBModel(theta, whitening, self.alpha)

    def metrics(self, statistics: Arrays) -> dict[str, float]:
        eigenvalues = np.maximum(np.linalg.eigvalsh(statistics["covariances"]), 0) + self.tikhonov
        return seen(statistics) | {"condition_number": float((eigenvalues[:, -1] / eigenvalues[:, 0]).max())}

    def save(self, statistics: Arrays, folder: Path) -> None:
        from rl_core.agents.linucb_saved_model import save_linucb  # TensorFlow: only where a SavedModel is written

        model = self.solve(statistics)
        write_arrays(folder / WEIGHTS, {"theta": model.theta, "whitening": model.whitening})
        save_linucb(statistics, self.alpha, self.tikhonov, folder / SAVED_MODEL)

    def load(self, folder: Path) -> LinUCBModel:
        """The model of weights.npz; TensorFlow is not needed."""
        weights = read_arrays(folder / WEIGHTS)
        if weights.keys() != {"theta", "whitening"}:  # of before these were the weights; the statistics tell them
            return self.solve(read_arrays(folder / STATISTICS))
        theta, whitening = weights["theta"], weights["whitening"]
        if whitening.shape != (*theta.shape[::-1], theta.shape[-1]):
            raise InvalidInput(f"{folder / WEIGHTS}: theta and whitening do not fit each other; not those of a policy")
        return LinUCBModel(theta, whitening, self.alpha)
