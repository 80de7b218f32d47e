"""linear_thompson's model as a TF-Agents policy. Imports TensorFlow."""

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

from banditloop.rl_core.agents.linear_thompson_model import LinearThompsonModel
from banditloop.rl_core.agents.probability_of_best import ABOVE, BELOW

POINTS = np.linspace(0, 1, 257)


class ThompsonPolicy(TFPolicy):
    """Takes the most probable action; its info has the probabilities, to draw from, and the expected rewards."""

    def __init__(self, model: LinearThompsonModel) -> None:
        dim, actions = model.shape
        info = {
            "probabilities": tensor_spec.TensorSpec([actions], tf.float64, "probabilities"),
            InfoFields.PREDICTED_REWARDS_MEAN: tensor_spec.TensorSpec([actions], tf.float32, "rewards"),
        }
        super().__init__(
            time_step.time_step_spec(tensor_spec.TensorSpec([dim], tf.float32, "observation")),
            tensor_spec.BoundedTensorSpec((), tf.int32, 0, actions - 1, "action"),
            info_spec=info,
        )
        self._pairs = np.triu_indices(dim + 1)
        self._arrays = {name: tf.Variable(array, dtype=tf.float64) for name, array in model.arrays().items()}

    def _variables(self) -> list[tf.Variable]:
        return list(self._arrays.values())

    def _action(self, time_step: Any, policy_state: Any, seed: Any = None) -> policy_step.PolicyStep:
        means, deviations = self._rewards(time_step.observation)
        probabilities = _probabilities_of_best(means, deviations)
        info = {"probabilities": probabilities, InfoFields.PREDICTED_REWARDS_MEAN: tf.cast(means, tf.float32)}
        return policy_step.PolicyStep(tf.argmax(probabilities, axis=1, output_type=tf.int32), policy_state, info)

    def _distribution(self, time_step: Any, policy_state: Any) -> policy_step.PolicyStep:
        raise NotImplementedError("the probabilities are in the info of an action")

    def _rewards(self, observations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Means and standard deviations [B, actions] of the expected rewards."""
        arrays, (rows, columns) = self._arrays, self._pairs
        x = (tf.cast(observations, tf.float64) - arrays["centre"]) * arrays["scale"]
        x = tf.concat([tf.ones_like(x[:, :1]), x], axis=1)
        products = tf.gather(x, rows, axis=1) * tf.gather(x, columns, axis=1)
        variances = tf.matmul(products, arrays["spreads"], transpose_b=True)
        return tf.matmul(x, arrays["weights"], transpose_b=True), tf.sqrt(tf.maximum(variances, np.finfo(float).tiny))


def _probabilities_of_best(means: tf.Tensor, deviations: tf.Tensor) -> tf.Tensor:
    """As probability_of_best.py, on one grid of more points that are dense at first."""
    low = tf.reduce_max(means - BELOW * deviations, axis=1, keepdims=True)
    high = means + ABOVE * deviations
    length = tf.reduce_max(high, axis=1, keepdims=True) - low
    narrowest = tf.reduce_min(tf.where(high > low, deviations, np.inf), axis=1, keepdims=True)
    curve = tf.math.log1p(length / (BELOW * narrowest))
    points = low + length * tf.math.expm1(curve * POINTS) / tf.math.expm1(curve)
    z = (points[:, None] - means[:, :, None]) / deviations[:, :, None]
    logs = tf.math.log1p(-0.5 * tf.math.erfc(tf.maximum(z, -BELOW) / np.sqrt(2)))
    total = tf.reduce_sum(logs, axis=1)
    shares, changes = (values[:, 1:] - values[:, :-1] for values in (tf.exp(total), total))
    rates = tf.math.divide_no_nan(shares, changes)
    probabilities = tf.linalg.matvec(logs[:, :, 1:] - logs[:, :, :-1], rates)
    return probabilities / tf.reduce_sum(probabilities, axis=1, keepdims=True)


def save_linear_thompson(model: LinearThompsonModel, folder: Path) -> None:
    """Write the policy as a SavedModel with an `action` signature, for `tf.saved_model.load`."""
    PolicySaver(ThompsonPolicy(model), batch_size=None).save(str(folder))
