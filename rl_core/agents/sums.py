"""Sums over the interactions of each action, which linear agents are trained from: they merge by addition."""

import numpy as np

from banditloop.rl_core.agents.arrays import Statistics


def add_interactions(
    statistics: Statistics, x: np.ndarray, actions: np.ndarray, rewards: np.ndarray, weights: np.ndarray | None
) -> Statistics:
    """The statistics with interactions added to the sums of their actions; weights None: 1.

    x: [B, p]. The sums: covariances Σ w x xᵀ [actions, p, p], vectors Σ w r x [actions, p], counts Σ 1 and rewards Σ r,
    both [actions]. Only the sums of actions that occur are computed; all are copied.
    """
    covariances, vectors = statistics["covariances"].copy(), statistics["vectors"].copy()
    arms = len(vectors)
    small = np.uint16 if arms <= 1 << 16 else np.int64  # 16-bit integers use radix sort
    order = np.argsort(actions.astype(small), kind="stable")
    x, r = x[order].astype(np.float64), rewards[order]
    weighted = x if weights is None else x * weights[order, None]
    counts = np.bincount(actions, minlength=arms)
    ends = np.cumsum(counts)
    for arm in np.flatnonzero(counts):
        rows = slice(ends[arm] - counts[arm], ends[arm])
        covariances[arm] += weighted[rows].T @ x[rows]
        vectors[arm] += r[rows] @ weighted[rows]
    return statistics | {
        "covariances": covariances,
        "vectors": vectors,
        "counts": statistics["counts"] + counts,
        "rewards": statistics["rewards"] + np.bincount(actions, rewards, minlength=arms),
    }
