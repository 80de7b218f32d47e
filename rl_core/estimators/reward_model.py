"""A cross-fitted reward model: one ridge regression per action and fold.

A decision is predicted by a model that was not fitted to its fold. Sufficient statistics make cross-fitting cheap: the
statistics for a fold are the total minus the fold's own.
"""

import zlib
from functools import reduce

import numpy as np

from banditloop.rl_core.agents import Batch, Statistics
from banditloop.rl_core.agents.linucb import LinUCB


class RewardModel:
    """Ridge regressions of the reward on the observation and a constant, cross-fitted over folds by event id."""

    def __init__(self, dim: int, actions: int, folds: int = 5, l2: float = 1.0) -> None:
        self._ridge = LinUCB(l2=l2)
        self._fold_statistics = [self._ridge.initial_statistics(dim + 1, actions) for _ in range(folds)]

    def fold(self, event_ids: list[str]) -> np.ndarray:
        """The fold [B] of each event, by a hash of its id: always the same."""
        return np.array([zlib.crc32(event_id.encode()) % len(self._fold_statistics) for event_id in event_ids])

    def add(self, observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray, folds: np.ndarray) -> None:
        """Add decisions: observations [B, dim], actions [B], rewards [B], folds [B]."""
        x = _with_constant(observations)
        for fold, statistics in enumerate(self._fold_statistics):
            in_fold = folds == fold
            batch = Batch(x[in_fold], actions[in_fold], rewards[in_fold])
            self._fold_statistics[fold] = self._ridge.accumulate(statistics, batch)

    def predict(self, observations: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """The expected reward of every action [B, actions], fitted to the other folds and clipped to [0, 1]."""
        x = _with_constant(observations)
        total = reduce(self._ridge.merge, self._fold_statistics)
        predictions = np.zeros((len(x), len(total["counts"])))
        for fold, statistics in enumerate(self._fold_statistics):
            in_fold = folds == fold
            predictions[in_fold] = x[in_fold] @ self._ridge.solve(_subtract(total, statistics)).theta.T
        return predictions.clip(0, 1)


def _with_constant(observations: np.ndarray) -> np.ndarray:
    return np.column_stack([observations, np.ones(len(observations))])


def _subtract(total: Statistics, fold: Statistics) -> Statistics:
    return {name: total[name] - fold[name] for name in total}
