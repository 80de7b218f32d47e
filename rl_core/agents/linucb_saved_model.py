"""LinUCB's statistics as a TF-Agents LinearUCBPolicy. Imports TensorFlow."""

from pathlib import Path

import numpy as np

from rl_core.tf import tf

# isort: split
from tf_agents.bandits.policies.lin_ucb_policy import LinearUCBPolicy
from tf_agents.policies.policy_saver import PolicySaver
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step

from rl_core.agents.arrays import Arrays


def linucb_policy(statistics: Arrays, alpha: float, tikhonov: float) -> LinearUCBPolicy:
    """The policy in float64, from the eigendecomposition: TF-Agents' default, conjugate gradients, is approximate."""
    arms, dim = statistics["vectors"].shape
    values, vectors = np.linalg.eigh(statistics["covariances"])

    def variables(arrays: np.ndarray) -> list[tf.Variable]:
        return [tf.Variable(array, dtype=tf.float64) for array in arrays]

    return LinearUCBPolicy(
        tensor_spec.BoundedTensorSpec((), tf.int32, 0, arms - 1, "action"),
        variables(statistics["covariances"]),
        variables(statistics["vectors"]),
        variables(statistics["counts"]),
        time_step.time_step_spec(tensor_spec.TensorSpec([dim], tf.float32, "observation")),
        alpha=alpha,
        eig_vals=variables(values),
        eig_matrix=variables(vectors),
        tikhonov_weight=tikhonov,
    )


def save_linucb(statistics: Arrays, alpha: float, tikhonov: float, folder: Path) -> None:
    """Write a SavedModel that `tf.saved_model.load` loads and whose `action` signature acts."""
    PolicySaver(linucb_policy(statistics, alpha, tikhonov), batch_size=None).save(str(folder))
