"""A reward-predicting TF-Agents policy, loaded from its SavedModel. Imports TensorFlow, but not TF-Agents."""

from pathlib import Path

import numpy as np

from rl_core.agents.agent import Model
from rl_core.tf import tf


class NeuralModel(Model):
    """Takes the action with the highest predicted reward.

    The SavedModel is asked by one function, traced once for any number of observations. Called as TF-Agents has it, it
    takes half as long again; with lists, every request would be traced anew.
    """

    def __init__(self, saved_model: Path) -> None:
        self._policy = tf.saved_model.load(str(saved_model))  # kept, for it owns the variables
        act = self._policy.signatures["action"]
        dim = act.structured_input_signature[1]["arg_0_observation"].shape[-1]

        @tf.function(input_signature=[tf.TensorSpec([None, dim], tf.float32)])
        def rewards(observations: tf.Tensor) -> tf.Tensor:
            rows = tf.shape(observations)[:1]
            return act(
                arg_0_observation=observations,
                arg_0_discount=tf.ones(rows),
                arg_0_reward=tf.zeros(rows),
                arg_0_step_type=tf.zeros(rows, tf.int32),
            )["info/predicted_rewards_mean"]

        self._rewards = rewards.get_concrete_function()
        self._shape = dim, self.expected(np.zeros((1, dim), np.float32)).shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        return np.eye(self._shape[1])[self.greedy(observations)]

    def expected(self, observations: np.ndarray) -> np.ndarray:
        return self._rewards(tf.constant(observations, tf.float32)).numpy()
