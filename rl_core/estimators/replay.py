"""Replay: the mean reward of the decisions on which the target agrees, Σ π r / Σ π.

Li, Chu, Langford, Wang: Unbiased Offline Evaluation of Contextual-bandit-based News Article Recommendation Algorithms,
WSDM 2011. Right only where the logging policy chose uniformly.
"""

from dataclasses import dataclass

import numpy as np

from rl_core.errors import InvalidInput
from rl_core.estimators.estimator import Estimator, Logged, ratio


@dataclass
class Replay(Estimator):
    """For uniformly random logs only."""

    def terms(self, logged: Logged) -> np.ndarray:
        if len(logged.propensity) and not np.allclose(logged.propensity, logged.propensity[0]):
            raise InvalidInput("replay: the logged actions were not chosen uniformly; use ips or snips")
        return np.column_stack([logged.target * logged.reward, logged.target])

    def combine(self, means: np.ndarray) -> tuple[float, np.ndarray]:
        return ratio(means)
