"""LinUCB's statistics as a TF-Agents LinearUCBPolicy. Imports TensorFlow."""

from pathlib import Path

import numpy as np

from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.bandits.policies.lin_ucb_policy import LinearUCBPolicy
from tf_agents.policies.policy_saver import PolicySaver
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.whitening import whitening


def linucb_policy(statistics: Statistics, alpha: float, l2: float) -> LinearUCBPolicy:
    """The policy in float64.

    It is given what it needs to solve by eigendecomposition: TF-Agents' default, conjugate gradients, is approximate.
    """
    arms, dim = statistics["vectors"].shape
    # It multiplies by M(V + λI)⁻¹Mᵀ, with matrices M that need not be orthogonal: with M = √λ W and V = 0, by WWᵀ.
    matrices = np.sqrt(l2) * whitening(statistics["covariances"], l2)
    # An untried action's weights are b / λ: here those that the model gives it.
    theta, untried = LinUCB(alpha=alpha, l2=l2).solve(statistics).theta, statistics["counts"] == 0
    targets = np.where(untried[:, None], l2 * theta, statistics["vectors"])

    def variables(arrays: np.ndarray) -> list[tf.Variable]:
        return [tf.Variable(array, dtype=tf.float64) for array in arrays]

    return LinearUCBPolicy(
        tensor_spec.BoundedTensorSpec((), tf.int32, 0, arms - 1, "action"),
        variables(statistics["covariances"]),
        variables(targets),
        variables(statistics["counts"]),
        time_step.time_step_spec(tensor_spec.TensorSpec([dim], tf.float32, "observation")),
        alpha=alpha,
        eig_vals=variables(np.zeros((arms, dim))),
        eig_matrix=variables(matrices),
        tikhonov_weight=l2,
    )


def save_linucb(statistics: Statistics, alpha: float, l2: float, folder: Path) -> None:
    """Write the policy as a SavedModel with an `action` signature, for `tf.saved_model.load`."""
    PolicySaver(linucb_policy(statistics, alpha, l2), batch_size=None).save(str(folder))
