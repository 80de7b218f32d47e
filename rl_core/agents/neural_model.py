"""A reward-predicting TF-Agents policy, loaded from its SavedModel. Imports TensorFlow, but not TF-Agents."""

from pathlib import Path
from typing import Any

import numpy as np

from banditloop.rl_core.agents.agent import Model, one_hot
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.tf import tf


class NeuralModel(Model):
    """A model that takes the action with the highest predicted reward.

    The SavedModel is called through one function, traced once for any batch size. Calling its own `action` method takes
    50 % longer, and calling it with lists would trace every request again.
    """

    def __init__(self, saved_model: Path) -> None:
        try:
            self._policy = tf.saved_model.load(str(saved_model))  # keeps the variables alive
            self._rewards = _reward_function(self._policy.signatures["action"])
        except (OSError, KeyError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise InvalidInput(f"{saved_model}: {reason}; not the model of a neural policy") from None
        [observations] = self._rewards.structured_input_signature[0]
        dim = observations.shape[1]
        self._shape = dim, self.expected_rewards(np.zeros((1, dim), np.float32)).shape[1]  # the slow first call

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    def probabilities(self, observations: np.ndarray, eligible: np.ndarray | None = None) -> np.ndarray:
        return one_hot(self.greedy_actions(observations, eligible), self._shape[1])

    def expected_rewards(self, observations: np.ndarray) -> np.ndarray:
        return self._rewards(tf.constant(observations, tf.float32)).numpy()


def _reward_function(signature: Any) -> Any:
    """The function from observations [B, dim] to the rewards [B, actions] that an `action` signature predicts."""
    dim = signature.structured_input_signature[1]["arg_0_observation"].shape[1]

    @tf.function(input_signature=[tf.TensorSpec([None, dim], tf.float32)])
    def rewards(observations: tf.Tensor) -> tf.Tensor:
        rows = tf.shape(observations)[:1]
        return signature(
            arg_0_observation=observations,
            arg_0_discount=tf.ones(rows),
            arg_0_reward=tf.zeros(rows),
            arg_0_step_type=tf.zeros(rows, tf.int32),
        )["info/predicted_rewards_mean"]

    return rewards.get_concrete_function()
