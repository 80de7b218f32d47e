"""Doubly robust with optimistic shrinkage: DR with weights λ w / (w² + λ).

Su, Dimakopoulou, Krishnamurthy, Dudík: Doubly Robust Off-policy Evaluation with Shrinkage, ICML 2020.
"""

from dataclasses import dataclass

import numpy as np

from banditloop.rl_core.estimators.dr import DR


@dataclass
class DRos(DR):
    """Interpolates between the direct method (λ → 0) and DR (λ → ∞)."""

    shrinkage: float = 100.0

    def error_weights(self, weight: np.ndarray) -> np.ndarray:
        return self.shrinkage * weight / (weight**2 + self.shrinkage)
