"""The range of rewards, and scaling by it."""

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import AfterValidator

MAX_ABS_VALUE = 1e6  # of a reward or a number: squares of larger ones would dominate the sums of training
TOLERANCE = 1e-6  # of the span: rounding errors are not outside the range


def _check_bounds(values: list[float]) -> list[float]:
    if len(values) != 2 or not values[0] < values[1]:
        raise ValueError("give the smallest and the largest reward, as [0, 1]")
    if max(map(abs, values)) > MAX_ABS_VALUE:
        raise ValueError(f"has values beyond {MAX_ABS_VALUE:,.0f}; scale the rewards")
    return values


RewardBounds = Annotated[list[float], AfterValidator(_check_bounds)]  # of a config key


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
