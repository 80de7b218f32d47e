"""An agent that explores over a reward model as a SavedModel. Imports TensorFlow."""

from pathlib import Path
from typing import Any

from banditloop.rl_core.agents.exploring import ExploringAgent
from banditloop.rl_core.agents.saved_model import save_policy
from banditloop.rl_core.tf import tf


def save_exploring(agent: ExploringAgent, folder: Path, dim: int, actions: int) -> None:
    """See save_policy."""
    xp = tf.experimental.numpy

    def decide(arrays: Any, observations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return agent.explore(arrays, observations, xp=xp), agent.reward_model.scores(arrays, observations, xp)

    save_policy(folder, dim, actions, decide)
