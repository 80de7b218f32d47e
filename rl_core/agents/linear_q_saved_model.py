"""Values that are linear in features as a SavedModel. Imports TensorFlow."""

from pathlib import Path
from typing import Any

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.linear_q_model import VALUES, probabilities_of, served_arrays, values_of
from banditloop.rl_core.agents.saved_model import save_policy
from banditloop.rl_core.tf import tf


def save_linear_q(statistics: Statistics, folder: Path) -> None:
    """Write the policy as a SavedModel with an `action` signature, for `tf.saved_model.load`."""
    xp, served = tf.experimental.numpy, served_arrays(statistics)

    def decide(arrays: Any, observations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return probabilities_of(arrays, observations, xp=xp), values_of(arrays, observations, xp)

    save_policy((len(served["means"]), served[VALUES].shape[1]), served, decide, folder)
