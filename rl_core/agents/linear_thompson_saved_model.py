"""linear_thompson's model as a TF-Agents policy. Imports TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np

from banditloop.rl_core.agents.probability_of_best import ABOVE, BELOW
from banditloop.rl_core.agents.saved_model import save_policy
from banditloop.rl_core.tf import tf

POINTS = np.linspace(0, 1, 257)


def thompson(arrays: Any, observations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The probabilities and the expected rewards [B, actions] of a LinearThompsonModel's arrays."""
    means, deviations = _rewards(arrays, observations)
    return _probabilities_of_best(means, deviations), means


def _rewards(arrays: Any, observations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Means and standard deviations [B, actions] of the expected rewards."""
    x = (observations - arrays["centre"]) * arrays["scale"]
    x = tf.concat([tf.ones_like(x[:, :1]), x], axis=1)
    rows, columns = np.triu_indices(x.shape[1])
    products = tf.gather(x, rows, axis=1) * tf.gather(x, columns, axis=1)
    variances = tf.matmul(products, arrays["spreads"], transpose_b=True)
    return tf.matmul(x, arrays["weights"], transpose_b=True), tf.sqrt(tf.maximum(variances, np.finfo(float).tiny))


def _probabilities_of_best(means: tf.Tensor, deviations: tf.Tensor) -> tf.Tensor:
    """As in probability_of_best.py, but on a single grid of more points, dense at its start."""
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


def save_linear_thompson(folder: Path, dim: int, actions: int) -> None:
    """See save_policy."""
    save_policy(folder, dim, actions, thompson)
