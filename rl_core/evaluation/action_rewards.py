"""What the logged decisions for each action earned, whoever took them."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from banditloop.rl_core.estimators.lower_bound import mean_interval


class Earned(NamedTuple):
    """The mean reward of the decisions for an action, in [0, 1], with its interval; NaN without decisions."""

    mean: float
    low: float
    high: float


@dataclass
class ActionRewards:
    """Sums over logged decisions by candidate: s, s r and (s r)², with the sample weights s and rewards r."""

    counts: np.ndarray  # of decisions [K]
    sums: np.ndarray  # [3, K]
    max_sample_weight: float = 0.0

    @classmethod
    def empty(cls, actions: int) -> Self:
        """No decisions yet, for actions [K]."""
        return cls(np.zeros(actions, int), np.zeros((3, actions)))

    def add(self, actions: np.ndarray, rewards: np.ndarray, sample_weights: np.ndarray) -> None:
        """Add decisions: the positions of their actions, rewards in [0, 1], and sample weights, each [B]."""
        weighted = sample_weights * rewards
        terms = (sample_weights, weighted, weighted**2)
        self.counts += np.bincount(actions, minlength=len(self.counts))
        self.sums += [np.bincount(actions, term, minlength=len(self.counts)) for term in terms]
        self.max_sample_weight = max(self.max_sample_weight, sample_weights.max(initial=0.0))

    def shares(self) -> np.ndarray:
        """How often each action was taken in all traffic [K], as fractions."""
        return self.sums[0] / max(1e-300, self.sums[0].sum())

    def earned(self, action: int, level: float = 0.95) -> Earned:
        """What the decisions for the action at a position earned."""
        count = int(self.counts[action])
        if not count:
            return Earned(np.nan, np.nan, np.nan)
        weight, earned, squares = self.sums[:, action].tolist()
        scale = weight / count  # sample weights have a mean of 1
        low, high = mean_interval(
            count, earned / weight, squares / count / scale**2, self.max_sample_weight / scale, level
        )
        return Earned(earned / weight, max(0.0, low), min(1.0, high))
