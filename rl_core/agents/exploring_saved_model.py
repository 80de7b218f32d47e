"""An agent that explores over a reward model as a TF-Agents policy. Imports TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.experimental.numpy as tnp

from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.policies.policy_saver import PolicySaver
from tf_agents.policies.tf_policy import TFPolicy
from tf_agents.policies.utils import InfoFields
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import policy_step, time_step

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploring import ExploringAgent

PROBABILITIES = "probabilities"


class ExploringPolicy(TFPolicy):
    """Takes the most probable action; its info has the probabilities, to draw from, and the predicted rewards."""

    def __init__(self, agent: ExploringAgent, weights: Statistics) -> None:
        dim, actions = agent.reward_model.shape(weights)
        self._agent = agent
        self._weights = {name: tf.Variable(array, dtype=tf.float64, name=name) for name, array in weights.items()}
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
        return list(self._weights.values())

    def _action(self, time_step: Any, policy_state: Any, seed: Any = None) -> policy_step.PolicyStep:
        weights = {name: tf.convert_to_tensor(variable) for name, variable in self._weights.items()}
        observations = tf.cast(time_step.observation, tf.float64)
        probabilities = self._agent.explore(weights, observations, xp=tnp)
        rewards = self._agent.reward_model.scores(weights, observations, tnp)
        info = {
            PROBABILITIES: tf.cast(probabilities, tf.float64),
            InfoFields.PREDICTED_REWARDS_MEAN: tf.cast(rewards, tf.float32),
        }
        return policy_step.PolicyStep(tf.argmax(probabilities, axis=1, output_type=tf.int32), policy_state, info)

    def _distribution(self, time_step: Any, policy_state: Any) -> policy_step.PolicyStep:
        raise NotImplementedError("the probabilities are in the info of an action")


def save_policy(agent: ExploringAgent, weights: Statistics, folder: Path) -> None:
    """Write the policy as a SavedModel with an `action` signature, for `tf.saved_model.load`."""
    arrays = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    PolicySaver(ExploringPolicy(agent, arrays), batch_size=None).save(str(folder))
