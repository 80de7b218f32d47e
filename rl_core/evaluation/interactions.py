"""Interactions as arrays with rewards scaled to [0, 1], and a policy's predicted rewards on the same scale."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.training.train import to_arrays

TOLERANCE = 1e-6  # of scaled rewards outside [0, 1]: rounding errors are not counted as clipped


class Interactions(NamedTuple):
    """Observations [B, dim], actions [B], rewards [B] scaled to [0, 1], number of clipped rewards, event ids [B]."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    clipped: int
    event_ids: list[str]


def scaled_interactions(config: Config, table: pa.Table) -> Interactions:
    """A table of schema INTERACTION as arrays, with rewards scaled by the environment's bounds."""
    observations, actions, rewards = to_arrays(table, config.environment.dim, config.environment.actions)
    scaled = config.environment.reward_range.scale(rewards)
    clipped = int((np.abs(scaled - 0.5) > 0.5 + TOLERANCE).sum())
    return Interactions(observations, actions, scaled.clip(0, 1), clipped, table["event_id"].to_pylist())


def predicted_rewards(policy: SavedPolicy, config: Config, observations: np.ndarray) -> np.ndarray:
    """The predictions of the policy's model for every action [B, actions], scaled and clipped to [0, 1]."""
    return config.environment.reward_range.scale(policy.model.expected_rewards(observations)).clip(0, 1)
