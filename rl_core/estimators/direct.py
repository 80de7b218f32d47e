"""The direct method: mean of Q. It relies on the reward model alone and inherits the model's bias."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from banditloop.rl_core.estimators.estimator import Estimator, Logged


@dataclass
class DirectMethod(Estimator):
    """Low variance; its value includes the reward model's errors, its interval does not."""

    uses_model: ClassVar[bool] = True

    def terms(self, logged: Logged) -> np.ndarray:
        _, expected_reward = logged.model()
        return expected_reward[:, None]
