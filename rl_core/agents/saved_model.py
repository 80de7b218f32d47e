"""A policy with probabilities of its own as a SavedModel. Imports TensorFlow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.policies.policy_saver import PolicySaver
from tf_agents.policies.tf_policy import TFPolicy
from tf_agents.policies.utils import InfoFields
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import policy_step, time_step

from banditloop.rl_core.agents.arrays import Statistics

PROBABILITIES = "probabilities"
Decide = Callable[[Any, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class ProbabilityPolicy(TFPolicy):
    """Takes the most probable action; its info has the probabilities, to draw from, and the predicted rewards.

    decide: returns both [B, actions], given the arrays by name and observations [B, dim], all in double precision.
    """

    def __init__(self, shape: tuple[int, int], arrays: Statistics, decide: Decide) -> None:
        dim, actions = shape
        self._decide = decide
        self._arrays = {name: tf.Variable(array, dtype=tf.float64, name=name) for name, array in arrays.items()}
        info = {
            PROBABILITIES: tensor_spec.TensorSpec([actions], tf.float64, PROBABILITIES),
            InfoFields.PREDICTED_REWARDS_MEAN: tensor_spec.TensorSpec([actions], tf.float32, "rewards"),
        }
        super().__init__(
            time_step.time_step_spec(tensor_spec.TensorSpec([dim], tf.float32, "observation")),
            tensor_spec.BoundedTensorSpec((), tf.int32, 0, actions - 1, "action"),
            info_spec=info,
        )

    def _variables(self) -> list[tf.Variable]:
        return list(self._arrays.values())

    def _action(self, time_step: Any, policy_state: Any, seed: Any = None) -> policy_step.PolicyStep:
        arrays = {name: tf.convert_to_tensor(variable) for name, variable in self._arrays.items()}
        probabilities, rewards = self._decide(arrays, tf.cast(time_step.observation, tf.float64))
        info = {
            PROBABILITIES: tf.cast(probabilities, tf.float64),
            InfoFields.PREDICTED_REWARDS_MEAN: tf.cast(rewards, tf.float32),
        }
        return policy_step.PolicyStep(tf.argmax(probabilities, axis=1, output_type=tf.int32), policy_state, info)

    def _distribution(self, time_step: Any, policy_state: Any) -> policy_step.PolicyStep:
        raise NotImplementedError("the probabilities are in the info of an action")


def save_policy(shape: tuple[int, int], arrays: Statistics, decide: Decide, folder: Path) -> None:
    """Write the policy as a SavedModel with an `action` signature, for `tf.saved_model.load`."""
    doubles = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    PolicySaver(ProbabilityPolicy(shape, doubles, decide), batch_size=None).save(str(folder))
