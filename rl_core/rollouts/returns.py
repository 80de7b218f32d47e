"""What the episodes of a policy earn, without their rows."""

from functools import partial
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.environments.episodic import EpisodicEnvironment, episode_seeds
from banditloop.rl_core.rollouts.engine import IN_PROCESS, Engine
from banditloop.rl_core.rollouts.play import Choose, play

BLOCK = 4_096  # episodes that are played at a time


class Returns(NamedTuple):
    """Of episodes [E]: sums of rewards with and without their discounts, and numbers of steps."""

    discounted: np.ndarray
    undiscounted: np.ndarray
    lengths: np.ndarray


def standard_error(values: np.ndarray) -> float | None:
    """The standard error of the mean of values [N]; None for fewer than two."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def returns(
    choose: Choose,
    environment: EpisodicEnvironment,
    seed: int,
    episodes: int,
    discount: float = 1.0,
    first: int = 0,
    max_steps: int | None = None,
    engine: Engine = IN_PROCESS,
) -> Returns:
    """The returns of the episodes from number `first` on, of the run with this seed: the same as in `rollouts`.

    Discounted: a reward after k steps counts discount ** k of its value. engine: where they are played.
    """
    parts = engine.play(partial(_returns, choose, environment, seed, discount, first, max_steps), episodes)
    return Returns(*map(np.concatenate, zip(*parts, strict=True)))


def _returns(
    choose: Choose,
    environment: EpisodicEnvironment,
    seed: int,
    discount: float,
    first: int,
    max_steps: int | None,
    part: slice,
) -> Returns:
    """The returns of a part of the episodes."""
    episodes = part.stop - part.start
    result = Returns(np.zeros(episodes), np.zeros(episodes), np.zeros(episodes, int))
    for start in range(0, episodes, BLOCK):
        seeds = episode_seeds(seed, first + part.start + start, min(BLOCK, episodes - start))
        for played in play(environment, seeds, choose, max_steps):
            rows = start + played.episodes
            result.discounted[rows] += discount**played.step * played.outcome.rewards
            result.undiscounted[rows] += played.outcome.rewards
            result.lengths[rows] += 1
    return result
