"""Replay: the mean reward of the decisions on which the target agrees, Σ π r / Σ π.

Li, Chu, Langford, Wang: Unbiased Offline Evaluation of Contextual-bandit-based News Article Recommendation Algorithms,
WSDM 2011. Right only where the logging policy chose uniformly.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from rl_core.errors import InvalidInput
from rl_core.estimators.estimator import Estimator, Logged, ratio


@dataclass
class Replay(Estimator):
    """For uniformly random logs only."""

    propensity: float | None = field(default=None, init=False)

    def terms(self, logged: Logged) -> np.ndarray:
        self._must_be(logged.propensity)
        return np.column_stack([logged.target * logged.reward, logged.target])

    def combine(self, means: np.ndarray) -> tuple[float, np.ndarray]:
        return ratio(means)

    def __add__(self, other: Self) -> Self:
        merged = super().__add__(other)
        for part in (self, other):
            if part.propensity is not None:
                merged._must_be(np.array([part.propensity]))
        return merged

    def _must_be(self, propensities: np.ndarray) -> None:
        if not len(propensities):
            return
        if self.propensity is None:
            self.propensity = float(propensities[0])
        if not np.allclose(propensities, self.propensity):
            raise InvalidInput("replay: the logged actions were not chosen uniformly; use ips or snips")
