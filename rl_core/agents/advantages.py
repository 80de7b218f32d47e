"""Advantages of actions in episodes: how much more return they brought than the value of their observation."""

from collections.abc import Iterator

import numpy as np

from banditloop.rl_core.agents.transitions import Transitions


def advantages(transitions: Transitions, values: np.ndarray, next_values: np.ndarray, trace: float) -> np.ndarray:
    """Generalised advantage estimates [B] of the actions of whole episodes.

    A_t = δ_t + γ λ A_{t+1}, with δ_t = r_t + γ V(s_{t+1}) − V(s_t) (Schulman, Moritz, Levine, Jordan, Abbeel:
    High-Dimensional Continuous Control Using Generalized Advantage Estimation, ICLR 2016). values, next_values: V of
    the observations and of the next ones [B]. trace: λ in [0, 1]: at 0 only the next reward is taken from the episode,
    at 1 all of them.
    """
    result = transitions.rewards + transitions.discounts * next_values - values
    for rows in _backwards(transitions):
        result[rows] += trace * transitions.discounts[rows] * result[rows + 1]
    return np.asarray(result)


def returns(transitions: Transitions) -> np.ndarray:
    """The discounted sums of rewards from each step of whole episodes to their end [B]."""
    zeros = np.zeros(len(transitions.rewards))
    return advantages(transitions, zeros, zeros, 1.0)


def _backwards(transitions: Transitions) -> Iterator[np.ndarray]:
    """The rows before the last of their episode, grouped by position in it: the latest positions first."""
    episodes, count = transitions.episodes, len(transitions.episodes)
    starts = np.flatnonzero(np.diff(episodes, prepend=episodes[:1] - 1))
    lengths = np.diff(starts, append=count)
    positions = np.arange(count) - np.repeat(starts, lengths)
    unfinished = np.flatnonzero(positions + 1 < np.repeat(lengths, lengths))
    order = unfinished[np.argsort(positions[unfinished], kind="stable")]
    return reversed(np.split(order, np.flatnonzero(np.diff(positions[order])) + 1))
