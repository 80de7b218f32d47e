"""The range of rewards, and scaling by it."""

from typing import NamedTuple

import numpy as np

MAX_ABS_VALUE = 1e6  # of a reward or a number: squares of larger ones would dominate the sums of training
TOLERANCE = 1e-6  # of the span: rounding errors are not outside the range


class RewardRange(NamedTuple):
    """The smallest and the largest reward, in units of the reward."""

    low: float
    high: float

    @property
    def span(self) -> float:
        """high - low: the unit in which scaled differences of rewards are measured."""
        return self.high - self.low

    def contains(self, rewards: np.ndarray) -> np.ndarray:
        """Whether each reward is in the range, bool [B]."""
        tolerance = TOLERANCE * self.span
        return (rewards >= self.low - tolerance) & (rewards <= self.high + tolerance)

    def clip(self, rewards: np.ndarray) -> np.ndarray:
        """The rewards, with those outside the range moved to its nearest bound."""
        return np.where(self.contains(rewards), rewards, rewards.clip(self.low, self.high))

    def scale(self, rewards: np.ndarray) -> np.ndarray:
        """Rewards scaled so that low is 0 and high is 1."""
        return (rewards - self.low) / self.span

    def unscale(self, scaled: float) -> float:
        """The reward of a scaled reward, the inverse of `scale`."""
        return self.low + self.span * scaled
