"""SWITCH-DR: DR where w is at most τ, the reward model alone elsewhere.

Wang, Agarwal, Dudík: Optimal and Adaptive Off-policy Evaluation in Contextual Bandits, ICML 2017.
"""

from dataclasses import dataclass

import numpy as np

from banditloop.rl_core.estimators.dr import DR


@dataclass
class SwitchDR(DR):
    """DR that ignores the model's errors on decisions with weights above the threshold τ."""

    threshold: float = 10.0

    def error_weights(self, weight: np.ndarray) -> np.ndarray:
        return np.where(weight <= self.threshold, weight, 0.0)
