"""Ridge regressions, trained exactly from sums, on rewards as they are or corrected by propensities.

For each action a, over its interactions: A = Σ w x xᵀ, b = Σ w r x, θ = (A + λI)⁻¹ b, where x is the observation and a
constant 1, and w the sample weight. `cb_type` is Vowpal Wabbit's option, SageMaker's cfa_type, with the propensity p
with which an action was chosen (Bietti, Agarwal, Langford: A Contextual Bandit Bake-off, JMLR 2021, section 2.3):

* dm, direct: as above.
* mtr, importance-weighted regression: as above with the weight w / p.
* ips: the targets are r / p for the action that was taken and 0 for the others that could be taken: θ = (G + λI)⁻¹
  Σ w r x / p, with G = Σ w x xᵀ over the interactions in which a could be taken.
* dr, doubly robust: the direct model and a regression of what it leaves unexplained, r - θᵀx, as for ips:
  θ + (G + λI)⁻¹ Σ w x (r - θᵀx) / p. The direct model is that of all interactions, earlier ones included.

All are sums, so that shards merge, and yesterday's statistics plus today's interactions equal a full retraining.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.agents.agent import Batch, append_zeros, learning_metrics
from banditloop.rl_core.agents.arrays import ACTION_FEATURES, Statistics, copied
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.reward_models.reward_model import RewardModel, importance_weighted
from banditloop.rl_core.agents.row_products import rows_times
from banditloop.rl_core.agents.sums import add_interactions, add_products
from banditloop.rl_core.agents.whitening import whitening

SUMS = ("covariances", "vectors", "counts", "rewards")
CORRECTED = "corrected_"  # prefix of the sums with weights w / p


class Ridge(RewardModel):
    """One ridge regression per action, of the reward on the observation and a constant."""

    name: Literal["ridge"] = "ridge"
    l2: float = Field(1.0, gt=0, description="ridge weight λ")
    cb_type: Literal["dm", "mtr", "ips", "dr"] = Field(
        "dm",
        description="how logged propensities correct it: dm, not at all; mtr, importance-weighted regression; ips, "
        "rewards over propensities; dr, doubly robust",
    )

    @property
    def is_mergeable(self) -> bool:
        return True

    @property
    def learns_from_eligible(self) -> bool:
        return self.cb_type in ("ips", "dr")

    @property
    def learns_from_ids(self) -> bool:
        return False

    def initial_statistics(self, dim: int, actions: int) -> Statistics:
        sums = LinUCB().initial_statistics(dim + 1, actions)
        statistics = {name: sums[name] for name in SUMS} | {"squares": np.zeros(())}
        if self.learns_from_eligible:
            statistics |= {CORRECTED + name: np.zeros_like(sums[name]) for name in ("covariances", "vectors")}
            statistics |= {"gram": np.zeros_like(sums["covariances"])}
        return statistics

    def with_actions(self, statistics: Statistics, actions: int) -> Statistics:
        return {name: append_zeros(array, actions) if array.ndim else array for name, array in statistics.items()}

    def update(self, statistics: Statistics, batches: Iterable[Batch]) -> Statistics:
        return reduce(self._add, batches, copied(statistics))

    def merge(self, left: Statistics, right: Statistics) -> Statistics:
        return {name: left[name] + right[name] for name in left}

    def can_resume_from(self, other: dict[str, Any]) -> bool:
        """Whether the other's sums are those of the same correction."""
        return super().can_resume_from(other) and other.get("cb_type") == self.cb_type

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        return learning_metrics(statistics) | {"error": self.error(statistics)}

    def weights(self, statistics: Statistics) -> Statistics:
        if self.cb_type == "ips":
            corrected = {"covariances": statistics["gram"], "vectors": statistics["corrected_vectors"]}
            return {"theta": self._theta(statistics | corrected)}
        theta = self._theta(statistics)
        if self.cb_type == "dr":
            explained = np.einsum("aij,aj->ai", statistics["corrected_covariances"], theta)
            theta += solved(statistics["gram"], statistics["corrected_vectors"] - explained, self.l2)
        return {"theta": theta}

    def shape(self, weights: Statistics) -> tuple[int, int]:
        actions, width = weights["theta"].shape
        return width - 1, actions

    def scores(self, weights: Statistics, observations: Any, xp: Any = np) -> Any:
        return linear_scores(weights["theta"], observations, xp)

    def mean_scores(self, statistics: Statistics) -> np.ndarray:
        sums = statistics["covariances"][:, -1].sum(axis=0)  # of the contexts, since the last feature is 1
        return self.weights(statistics)["theta"] @ (sums / max(sums[-1], np.finfo(float).tiny))

    def error(self, statistics: Statistics) -> float:
        """The error of the direct model, corrected for its degrees of freedom, tr A (A + λI)⁻¹."""
        covariances, theta = statistics["covariances"], self._theta(statistics)
        whiteners = whitening(covariances, self.l2)
        freedom = np.einsum("aij,aik,ajk->", covariances, whiteners, whiteners, optimize=True)
        residuals = np.einsum("aij,ai,aj->", covariances, theta, theta, optimize=True)
        residuals += statistics["squares"] - 2 * (theta * statistics["vectors"]).sum()
        total = covariances[:, -1, -1].sum()
        return float(np.sqrt(max(residuals, 0.0) / max(total - freedom, 0.01 * total))) if total else 0.0

    def _theta(self, statistics: Statistics) -> np.ndarray:
        sums = {name: statistics[name] for name in (*SUMS, ACTION_FEATURES) if name in statistics}
        return LinUCB(l2=self.l2).solve(sums).theta

    def _add(self, statistics: Statistics, batch: Batch) -> Statistics:
        weights = np.ones(len(batch.actions)) if batch.sample_weight is None else batch.sample_weight
        batch = batch._replace(observations=with_constant(batch.observations), sample_weight=weights)
        corrected = batch if self.cb_type == "dm" else importance_weighted(batch)
        direct = corrected if self.cb_type == "mtr" else batch
        add_interactions(statistics, *direct[:4])
        statistics["squares"] += (np.asarray(direct.sample_weight) * batch.rewards**2).sum()
        if self.learns_from_eligible:
            add_products(statistics, *corrected[:4], prefixes=(CORRECTED,))
            statistics["gram"] += gram(batch, len(statistics["counts"]))
        return statistics


def linear_scores(theta: Any, observations: Any, xp: Any = np) -> Any:
    """θᵀx [B, actions] for theta [actions, dim + 1], whose last column is the constant's, and observations [B, dim]."""
    return rows_times(observations, xp.transpose(theta[:, :-1]), xp) + theta[:, -1]


def with_constant(observations: np.ndarray) -> np.ndarray:
    """Observations [B, dim] and a constant [B, dim + 1], in double precision."""
    return np.column_stack([observations.astype(np.float64), np.ones(len(observations))])


def gram(batch: Batch, actions: int) -> np.ndarray:
    """Σ w x xᵀ over the interactions in which each action could be chosen [actions, dim, dim]."""
    x, weights = batch.observations, batch.sample_weight
    weighted = x if weights is None else x * weights[:, None]
    if batch.eligible is None:
        return np.broadcast_to(weighted.T @ x, (actions, x.shape[1], x.shape[1]))
    return np.array([weighted[rows].T @ x[rows] for rows in batch.eligible.T])


def solved(covariances: np.ndarray, vectors: np.ndarray, l2: float) -> np.ndarray:
    """(A + λI)⁻¹ b for each action [actions, dim]."""
    whiteners = whitening(covariances, l2)
    return np.einsum("aij,aj->ai", whiteners, np.einsum("aij,ai->aj", whiteners, vectors))
