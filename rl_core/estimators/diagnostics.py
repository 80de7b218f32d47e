"""Diagnostics: whether the evidence can carry an estimate at all. Streaming and mergeable as the estimators are."""

from dataclasses import dataclass

import numpy as np

from rl_core.estimators.estimator import Logged


@dataclass(frozen=True)
class Diagnostics:
    """Sums over logged decisions; `Diagnostics.of` makes one of a batch."""

    count: int = 0
    weights: float = 0.0
    squares: float = 0.0
    largest: float = 0.0
    without_overlap: int = 0

    @classmethod
    def of(cls, logged: Logged) -> "Diagnostics":
        """The diagnostics of a batch."""
        weight = logged.weight
        largest = float(weight.max(initial=0.0))
        return cls(len(weight), float(weight.sum()), float(weight @ weight), largest, int((weight == 0).sum()))

    def __add__(self, other: "Diagnostics") -> "Diagnostics":
        return Diagnostics(
            self.count + other.count,
            self.weights + other.weights,
            self.squares + other.squares,
            max(self.largest, other.largest),
            self.without_overlap + other.without_overlap,
        )

    def effective_sample_size(self) -> float:
        """(Σ w)² / Σ w²: how many decisions of the target itself would tell as much (Kish 1965)."""
        return self.weights**2 / self.squares if self.squares else 0.0

    def mean_weight(self) -> tuple[float, float]:
        """The mean weight and its standard error: it must be 1 within a few of them, if the propensities are true."""
        if not self.count:
            return float("nan"), float("inf")
        mean = self.weights / self.count
        variance = max(0.0, self.squares / self.count - mean**2)
        return mean, float(np.sqrt(variance / max(1, self.count - 1)))
