"""A policy with probabilities of its own as a SavedModel. Imports TensorFlow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.policies.policy_saver import PolicySaver
from tf_agents.policies.tf_policy import TFPolicy
from tf_agents.policies.utils import InfoFields
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import policy_step, time_step

from banditloop.rl_core.agents.arrays import WEIGHTS, stored_arrays

PROBABILITIES = "probabilities"
Decide = Callable[[Any, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class ProbabilityPolicy(TFPolicy):
    """Takes the most probable action; its info has the probabilities, to draw from, and the predicted rewards.

    decide: returns both [B, actions], given arrays by name and observations [B, dim], all in double precision.
    """

    def __init__(self, dim: int, actions: int, arrays: dict[str, tf.Variable], decide: Decide) -> None:
        self._arrays, self._decide = arrays, decide
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


def save_policy(folder: Path, dim: int, actions: int, decide: Decide) -> None:
    """Write the policy of a directory, which decides by the arrays of weights.npz, as a SavedModel there.

    It has an `action` signature, for `tf.saved_model.load`.
    """
    policy = ProbabilityPolicy(dim, actions, _variables(folder / WEIGHTS), decide)
    PolicySaver(policy, batch_size=None).save(str(folder))


def _variables(path: Path) -> dict[str, tf.Variable]:
    """The arrays of a file as variables, filled a few rows at a time: TensorFlow copies what it is given, twice."""
    variables: dict[str, tf.Variable] = {}
    for name, shape, blocks in stored_arrays(path):
        variables[name] = variable = tf.Variable(tf.zeros(shape, tf.float64), name=name)
        for rows, block in blocks:
            if shape:
                variable.scatter_update(tf.IndexedSlices(tf.cast(block, tf.float64), rows))
            else:
                variable.assign(tf.cast(block, tf.float64))
    return variables
