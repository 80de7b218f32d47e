"""The policy of ppo as a SavedModel. Imports TensorFlow."""

from pathlib import Path
from typing import Any

from banditloop.rl_core.agents.exploration import softmax
from banditloop.rl_core.agents.ppo_model import log_softmax, preferences
from banditloop.rl_core.agents.saved_model import save_policy
from banditloop.rl_core.tf import tf


def save_ppo(folder: Path, dim: int, actions: int) -> None:
    """See save_policy."""
    xp = tf.experimental.numpy

    def decide(arrays: Any, observations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        scores = preferences(arrays, observations, xp)
        return softmax(scores, 1.0, xp=xp), log_softmax(scores, xp)

    save_policy(folder, dim, actions, decide)
