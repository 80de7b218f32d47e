"""A reward model that never predicts a decision it was fitted to: one ridge regression per arm and fold.

Sufficient statistics make cross-fitting free: the model for a fold is that of the total less the fold's own.
"""

import zlib
from functools import reduce

import numpy as np

from rl_core.agents import Arrays, Batch, LinUCB


class RewardModel:
    """Ridge regressions of the reward on the observation and a constant, cross-fitted over folds by event id."""

    def __init__(self, dim: int, actions: int, folds: int = 5, tikhonov: float = 1.0) -> None:
        self._ridge = LinUCB(tikhonov=tikhonov)
        self._parts = [self._ridge.start(dim + 1, actions) for _ in range(folds)]

    def fold(self, event_ids: list[str]) -> np.ndarray:
        """The fold [B] that each event belongs to, for ever."""
        return np.array([zlib.crc32(event_id.encode()) % len(self._parts) for event_id in event_ids])

    def add(self, observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray, folds: np.ndarray) -> None:
        """Take in decisions [B] of the folds [B]."""
        x = _with_constant(observations)
        for fold, part in enumerate(self._parts):
            mine = folds == fold
            self._parts[fold] = self._ridge.accumulate(part, Batch(x[mine], actions[mine], rewards[mine]))

    def predict(self, observations: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """The expected reward of every action [B, actions], from the other folds, within [0, 1]."""
        x = _with_constant(observations)
        total = reduce(self._ridge.merge, self._parts)
        guesses = np.zeros((len(x), len(total["counts"])))
        for fold, part in enumerate(self._parts):
            mine = folds == fold
            guesses[mine] = x[mine] @ self._ridge.solve(_less(total, part)).theta.T
        return guesses.clip(0, 1)


def _with_constant(observations: np.ndarray) -> np.ndarray:
    return np.column_stack([observations, np.ones(len(observations))])


def _less(total: Arrays, part: Arrays) -> Arrays:
    return {name: total[name] - part[name] for name in total}
