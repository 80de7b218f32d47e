"""A reward-predicting TF-Agents policy, loaded from its SavedModel. Imports TensorFlow, but not TF-Agents."""

from pathlib import Path
from typing import Any

import numpy as np

from rl_core.agents.agent import Model, certain
from rl_core.errors import InvalidInput
from rl_core.tf import tf


class NeuralModel(Model):
    """Takes the action with the highest predicted reward.

    The SavedModel is asked by one function, traced once for any number of observations. Called as TF-Agents has it, it
    takes half as long again; with lists, every request would be traced anew.
    """

    def __init__(self, saved_model: Path) -> None:
        try:
            self._policy = tf.saved_model.load(str(saved_model))  # kept, for it owns the variables
            self._rewards = _rewards(self._policy.signatures["action"])
        except (OSError, KeyError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise InvalidInput(f"{saved_model}: {reason}; not the model of a neural policy") from None
        [observations] = self._rewards.structured_input_signature[0]
        dim = observations.shape[1]
        self._shape = dim, self.expected(np.zeros((1, dim), np.float32)).shape[1]  # slow the first time

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        return certain(self.greedy(observations), self._shape[1])

    def expected(self, observations: np.ndarray) -> np.ndarray:
        return self._rewards(tf.constant(observations, tf.float32)).numpy()


def _rewards(act: Any) -> Any:
    """The function from observations [B, dim] to the rewards [B, actions] that an `action` signature predicts."""
    dim = act.structured_input_signature[1]["arg_0_observation"].shape[1]

    @tf.function(input_signature=[tf.TensorSpec([None, dim], tf.float32)])
    def rewards(observations: tf.Tensor) -> tf.Tensor:
        rows = tf.shape(observations)[:1]
        return act(
            arg_0_observation=observations,
            arg_0_discount=tf.ones(rows),
            arg_0_reward=tf.zeros(rows),
            arg_0_step_type=tf.zeros(rows, tf.int32),
        )["info/predicted_rewards_mean"]

    return rewards.get_concrete_function()
