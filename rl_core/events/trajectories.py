"""Interactions as TF-Agents trajectories. Imports TensorFlow."""

from typing import Any

from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.trajectories import trajectory


def trajectories(observations: Any, actions: Any, rewards: Any, policy_info: Any = ()) -> trajectory.Trajectory:
    """Single-step Trajectory [B, 1, ...] from observations [B, dim], actions [B] and rewards [B].

    `policy_info` must have the structure in the agent's `training_data_spec`.
    """
    rewards = tf.cast(rewards, tf.float32)[:, None]
    return trajectory.single_step(
        tf.cast(observations, tf.float32)[:, None],
        tf.cast(actions, tf.int32)[:, None],
        policy_info,
        rewards,
        tf.ones_like(rewards),
    )
