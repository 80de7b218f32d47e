"""Diagnostics of importance weights: whether the log can support an estimate. Streaming and mergeable."""

from dataclasses import dataclass

import numpy as np

from banditloop.rl_core.evidence.logged import Logged


@dataclass(frozen=True)
class Diagnostics:
    """Sums over logged decisions of their weights, each the importance weight times the sample weight."""

    count: int = 0
    sample_weight_sum: float = 0.0
    weight_sum: float = 0.0
    squared_weight_sum: float = 0.0
    max_weight: float = 0.0  # largest importance weight seen
    without_overlap: int = 0  # decisions with weight 0

    @classmethod
    def of(cls, logged: Logged) -> "Diagnostics":
        """The diagnostics of a batch."""
        importance, sample_weights = logged.weight, logged.sample_weights()
        weight = importance * sample_weights
        return cls(
            count=len(weight),
            sample_weight_sum=float(sample_weights.sum()),
            weight_sum=float(weight.sum()),
            squared_weight_sum=float(weight @ weight),
            max_weight=float(importance.max(initial=0.0)),
            without_overlap=int((importance == 0).sum()),
        )

    def __add__(self, other: "Diagnostics") -> "Diagnostics":
        return Diagnostics(
            self.count + other.count,
            self.sample_weight_sum + other.sample_weight_sum,
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
        mean, mean_square = self._moments()
        return mean, float(np.sqrt(max(0.0, mean_square - mean**2) / max(1, self.count - 1)))

    def _moments(self) -> tuple[float, float]:
        """The mean and the mean square of the weights, with sample weights scaled to a mean of 1."""
        mean_sample_weight = self.sample_weight_sum / self.count
        mean, mean_square = self.weight_sum / self.count, self.squared_weight_sum / self.count
        return mean / mean_sample_weight, mean_square / mean_sample_weight**2
