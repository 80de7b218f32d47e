"""What a log says about every action: how often it was chosen, what it earned, and how much of that was exploration."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from banditloop.rl_core.estimators.confidence_sequence import ConfidenceSequence
from banditloop.rl_core.estimators.value_interval import informative_interval
from banditloop.rl_core.evaluation.interactions import Interactions
from banditloop.rl_core.settings.reward_range import RewardRange

SHOWN = 50  # actions, those that were chosen most
SUMS = 5  # of ones, rewards, squares of rewards, squares of 1 - reward, and probabilities of exploration


class ActionTotals:
    """Adds up interactions by action."""

    def __init__(self, exploration: Mapping[str, float]) -> None:
        self._exploration = exploration  # by version
        self._sums: dict[str, np.ndarray] = {}

    def add(self, version: str, batch: Interactions, propensities: np.ndarray) -> None:
        """Add interactions that a version logged, with the propensities [B] of their actions."""
        rewards = batch.rewards
        rows = np.stack(
            [
                np.ones(len(rewards)),
                rewards,
                rewards**2,
                (1 - rewards) ** 2,
                self._explored(version, batch, propensities),
            ]
        )
        for position in np.unique(batch.actions):
            sums = self._sums.setdefault(batch.candidates.ids[position], np.zeros(SUMS))
            sums += rows[:, batch.actions == position].sum(axis=1)

    def rows(self, rewards: RewardRange) -> list[dict[str, Any]]:
        """One row per action, the one that was chosen most first.

        * chosen: number of times, and share: of all choices
        * mean_reward with low and high: a 95 % confidence sequence, in units of the reward; None for no bounds
        * explored: the expected share of the choices that were drawn uniformly; None where a version is unknown
        """
        total = sum(sums[0] for sums in self._sums.values())
        ordered = sorted(self._sums.items(), key=lambda item: (-item[1][0], item[0]))[:SHOWN]
        return [{"action": action} | _row(sums, total, rewards) for action, sums in ordered]

    def _explored(self, version: str, batch: Interactions, propensities: np.ndarray) -> np.ndarray:
        """The probability [B] that each action was drawn uniformly and not by preference, given that it was chosen.

        A version draws uniformly with a fixed probability ε: each of K candidates with ε / K.
        """
        candidates = batch.candidates.mask(len(batch.rewards)).sum(axis=1)
        share = self._exploration.get(version, np.nan)
        return np.minimum(1.0, share / (candidates * propensities))


def _row(sums: np.ndarray, total: float, rewards: RewardRange) -> dict[str, Any]:
    count, earned, squares, missing_squares, explored = sums.tolist()
    bounds = ConfidenceSequence(
        count=int(count), sums=np.array([earned, count - earned]), squares=np.array([squares, missing_squares])
    )
    interval = informative_interval(bounds.interval())
    low, high = (rewards.unscale(bound) if np.isfinite(bound) else None for bound in interval)
    return {
        "chosen": int(count),
        "share": count / total,
        "mean_reward": rewards.unscale(earned / count),
        "low": low,
        "high": high,
        "explored": None if np.isnan(explored) else explored / count,
    }
