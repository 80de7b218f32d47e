"""Values that are linear in features as a SavedModel. Imports TensorFlow."""

from pathlib import Path
from typing import Any

from banditloop.rl_core.agents.linear_q_model import probabilities_of, values_of
from banditloop.rl_core.agents.saved_model import save_policy
from banditloop.rl_core.tf import tf


def save_linear_q(folder: Path, dim: int, actions: int) -> None:
    """See save_policy."""
    xp = tf.experimental.numpy

    def decide(arrays: Any, observations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return probabilities_of(arrays, observations, xp=xp), values_of(arrays, observations, xp)

    save_policy(folder, dim, actions, decide)
