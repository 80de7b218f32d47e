"""SWITCH-DR: DR where w is at most τ, the model alone elsewhere.

Wang, Agarwal, Dudík: Optimal and Adaptive Off-policy Evaluation in Contextual Bandits, ICML 2017.
"""

from dataclasses import dataclass

import numpy as np

from rl_core.estimators.dr import DR


@dataclass
class SwitchDR(DR):
    """DR that does not let single large weights decide."""

    threshold: float = 10.0

    def correcting(self, weight: np.ndarray) -> np.ndarray:
        return np.where(weight <= self.threshold, weight, 0.0)
