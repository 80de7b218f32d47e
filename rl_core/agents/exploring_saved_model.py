"""An agent that explores over a reward model as a SavedModel. Imports TensorFlow."""

from pathlib import Path
from typing import Any

from banditloop.rl_core.agents.arrays import Statistics
from banditloop.rl_core.agents.exploring import ExploringAgent
from banditloop.rl_core.agents.saved_model import save_policy
from banditloop.rl_core.tf import tf


def save_exploring(agent: ExploringAgent, weights: Statistics, folder: Path) -> None:
    """Write the policy as a SavedModel with an `action` signature, for `tf.saved_model.load`."""

    xp = tf.experimental.numpy

    def decide(arrays: Any, observations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return agent.explore(arrays, observations, xp=xp), agent.reward_model.scores(arrays, observations, xp)

    save_policy(agent.reward_model.shape(weights), weights, decide, folder)
