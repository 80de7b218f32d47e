"""The difference of two policies' mean rewards on the same decisions, doubly robust.

Mean of Q1 - Q2 + (w1 - w2) (r - q). Where both policies choose alike it is 0, whatever the reward.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from banditloop.rl_core.estimators.value_interval import ValueSums
from banditloop.rl_core.evidence.logged import Logged


@dataclass(frozen=True)
class Difference:
    """A streaming estimate in [-1, 1]; mergeable by `+`."""

    value_sums: ValueSums = field(default_factory=lambda: ValueSums(max_weights=np.ones(2)))

    def add(self, first: Logged, second: Logged) -> Self:
        """The difference with a batch of decisions, the same ones with either policy as the target."""
        return type(self)(self.value_sums + ValueSums.of(first, second, with_model=True))

    def value(self) -> float:
        """The estimate; NaN without decisions."""
        if not self.value_sums.count:
            return float("nan")
        z, _, second_weight, model, sample_weight = self.value_sums.sums
        return float((z - second_weight + model) / sample_weight)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval of the difference of the mean rewards; [-1, 1] without decisions."""
        return self.value_sums.interval(level)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.value_sums + other.value_sums)
