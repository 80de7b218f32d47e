"""The policy of ppo as a SavedModel. Imports TensorFlow."""

from pathlib import Path
from typing import Any

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploration import softmax
from banditloop.rl_core.agents.ppo_model import log_softmax, preferences
from banditloop.rl_core.agents.saved_model import save_policy
from banditloop.rl_core.tf import tf


def save_ppo(shape: tuple[int, int], served: Statistics, folder: Path) -> None:
    """Write the policy as a SavedModel with an `action` signature, for `tf.saved_model.load`."""
    xp = tf.experimental.numpy

    def decide(arrays: Any, observations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        scores = preferences(arrays, observations, xp)
        return softmax(scores, 1.0, xp=xp), log_softmax(scores, xp)

    save_policy(shape, served, decide, folder)
