"""Replay: the mean reward of the decisions on which the target policy agrees, Σ π r / Σ π.

Li, Chu, Langford, Wang: Unbiased Offline Evaluation of Contextual-bandit-based News Article Recommendation Algorithms,
WSDM 2011. Valid only if the logging policy chose uniformly.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.estimator import Estimator, Logged, ratio


@dataclass
class Replay(Estimator):
    """For logs of a uniformly random policy only.

    Raises:
        InvalidInput: the propensities added are not all equal.
    """

    propensity: float | None = field(default=None, init=False)

    def terms(self, logged: Logged) -> np.ndarray:
        self._require_uniform(logged.propensity)
        return np.column_stack([logged.target * logged.reward, logged.target])

    def estimate(self, means: np.ndarray) -> tuple[float, np.ndarray]:
        return ratio(means)

    def __add__(self, other: Self) -> Self:
        merged = super().__add__(other)
        for estimator in (self, other):
            if estimator.propensity is not None:
                merged._require_uniform(np.array([estimator.propensity]))
        return merged

    def _require_uniform(self, propensities: np.ndarray) -> None:
        if not len(propensities):
            return
        if self.propensity is None:
            self.propensity = float(propensities[0])
        if not np.allclose(propensities, self.propensity):
            raise InvalidInput("replay: the logged actions were not chosen uniformly; use ips or snips")
