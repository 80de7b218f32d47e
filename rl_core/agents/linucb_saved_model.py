"""LinUCB's model as a TF-Agents policy. Imports TensorFlow.

TF-Agents' own LinearUCBPolicy has five variables per arm: exporting 1,000 arms of 20 features takes it a minute.
"""

from pathlib import Path
from typing import Any

from banditloop.rl_core.agents.saved_model import save_policy
from banditloop.rl_core.tf import tf


def linucb(arrays: Any, observations: tf.Tensor, alpha: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The probabilities and the expected rewards [B, actions] of a LinUCBModel's arrays."""
    rewards = tf.matmul(observations, arrays["theta"], transpose_b=True)

    def add_square(total: tf.Tensor, column: tf.Tensor) -> tf.Tensor:  # one at a time: [B, actions] in memory
        return total + tf.square(tf.matmul(observations, column))

    squares = tf.foldl(add_square, tf.transpose(arrays["whitening"], [2, 0, 1]), tf.zeros_like(rewards))
    bounds = rewards + alpha * tf.sqrt(squares)
    return tf.one_hot(tf.argmax(bounds, axis=1), tf.shape(bounds)[1], dtype=bounds.dtype), rewards


def save_linucb(folder: Path, dim: int, actions: int, alpha: float) -> None:
    """See save_policy."""
    save_policy(folder, dim, actions, lambda arrays, observations: linucb(arrays, observations, alpha))
