"""The test of the best settings against the present ones, on data that no trial has seen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95


class Estimate(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of_mean(cls, values: Sequence[float] | np.ndarray) -> "Estimate":
        """The mean of at least two values, with Student's interval."""
        from scipy.special import stdtrit  # takes a tenth of a second to import

        mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)
        width = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * error
        return cls(mean, mean - width, mean + width)


class Comparison(NamedTuple):
    """The present settings, the best ones, and the difference of the two, in units of the reward."""

    present: Estimate
    best: Estimate
    difference: Estimate
    data: str  # what they were compared on, as "20 fresh simulations"

    def estimates(self) -> dict[str, Estimate]:
        """The three estimates by name."""
        return {"present": self.present, "best": self.best, "difference": self.difference}

    @property
    def is_better(self) -> bool:
        """Whether the interval of the difference is above 0."""
        return self.difference.low > 0
