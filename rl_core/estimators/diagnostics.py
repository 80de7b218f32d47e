"""Diagnostics of importance weights: whether the log can support an estimate. Streaming and mergeable."""

from dataclasses import dataclass

import numpy as np

from banditloop.rl_core.estimators.estimator import Logged


@dataclass(frozen=True)
class Diagnostics:
    """Sums over the importance weights of logged decisions; `Diagnostics.of` computes them for a batch."""

    count: int = 0
    weight_sum: float = 0.0
    squared_weight_sum: float = 0.0
    max_weight: float = 0.0
    without_overlap: int = 0  # decisions with weight 0

    @classmethod
    def of(cls, logged: Logged) -> "Diagnostics":
        """The diagnostics of a batch."""
        weight = logged.weight
        max_weight = float(weight.max(initial=0.0))
        return cls(len(weight), float(weight.sum()), float(weight @ weight), max_weight, int((weight == 0).sum()))

    def __add__(self, other: "Diagnostics") -> "Diagnostics":
        return Diagnostics(
            self.count + other.count,
            self.weight_sum + other.weight_sum,
            self.squared_weight_sum + other.squared_weight_sum,
            max(self.max_weight, other.max_weight),
            self.without_overlap + other.without_overlap,
        )

    def effective_sample_size(self) -> float:
        """(Σ w)² / Σ w²: the number of on-policy decisions with the same information (Kish 1965)."""
        return self.weight_sum**2 / self.squared_weight_sum if self.squared_weight_sum else 0.0

    def mean_weight(self) -> tuple[float, float]:
        """The mean weight and its standard error. With correct propensities it is 1 within a few standard errors."""
        if not self.count:
            return float("nan"), float("inf")
        mean = self.weight_sum / self.count
        variance = max(0.0, self.squared_weight_sum / self.count - mean**2)
        return mean, float(np.sqrt(variance / max(1, self.count - 1)))
