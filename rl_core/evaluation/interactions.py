"""Interactions as arrays with rewards scaled to [0, 1], and a policy's predicted rewards on the same scale."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from banditloop.rl_core.config import Config
from banditloop.rl_core.events.candidates import Candidates, action_positions, logged_candidates
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.training.train import contexts


class Interactions(NamedTuple):
    """Logged interactions.

    contexts [B], which policies encode, each in its own way; candidates; actions [B], positions among the candidates;
    rewards [B] scaled to [0, 1]; event ids [B].
    """

    contexts: pa.StructArray
    candidates: Candidates
    actions: np.ndarray
    rewards: np.ndarray
    event_ids: list[str]


def scaled_interactions(config: Config, table: pa.Table, ids: Sequence[str]) -> Interactions:
    """A table of usable interactions as arrays, with rewards scaled by the task's range, up to rounding errors.

    ids: those of all candidates, from `logged_ids` of this or a larger table.
    """
    rewards = config.task.rewards.scale(table["reward"].to_numpy()).clip(0, 1)
    candidates, actions = logged_candidates(table, ids), action_positions(table, ids)
    return Interactions(contexts(table), candidates, actions, rewards, table["event_id"].to_pylist())


def predicted_rewards(policy: SavedPolicy, config: Config, batch: Interactions) -> np.ndarray:
    """The predictions of the policy's model for every candidate [B, K], scaled and clipped to [0, 1]."""
    expected = policy.expected_rewards(policy.observations(batch.contexts), batch.candidates)
    return config.task.rewards.scale(expected).clip(0, 1)
