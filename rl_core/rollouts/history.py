"""A simulated log of episodes, of a uniformly random policy."""

import math

import numpy as np
import pyarrow as pa

from banditloop.rl_core.environments.episodic import EpisodicEnvironment
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.rows import reward_table
from banditloop.rl_core.rollouts.engine import IN_PROCESS, Engine
from banditloop.rl_core.rollouts.rollouts import rollouts


def episodic_history(
    environment: EpisodicEnvironment,
    interactions: int,
    reward_name: str,
    seed: int,
    max_steps: int | None = None,
    engine: Engine = IN_PROCESS,
) -> tuple[pa.Table, pa.Table]:
    """The decisions and rewards of the first episodes, as many whole ones as have at least `interactions` together.

    The same arguments give the same events with the same ids, more interactions give further ones.

    Raises:
        InvalidInput: interactions is less than 1.
    """
    if interactions < 1:
        raise InvalidInput(f"interactions = {interactions}: give at least 1")
    tables, rows, episodes = [], 0, 0
    steps = max_steps or environment.max_steps  # per episode: the limit at first, then the average so far
    while rows < interactions:
        count = math.ceil((interactions - rows) / steps)
        tables.append(rollouts(None, environment, seed, count, episodes, max_steps, engine))
        rows, episodes = rows + tables[-1].num_rows, episodes + count
        steps = rows / episodes
    played = _cut(pa.concat_tables(tables), interactions)
    rewards = reward_table(
        event_id=played["event_id"].combine_chunks(),
        value=played["reward"].combine_chunks(),
        timestamp=played["timestamp"].combine_chunks(),
        name=reward_name,
        source_id="generator",
    )
    return played.drop_columns("reward"), rewards


def _cut(played: pa.Table, interactions: int) -> pa.Table:
    """The rows up to the end of the episode in which the given number of interactions is reached."""
    ended = played["terminal"].to_numpy() | played["truncated"].to_numpy()
    return played.slice(0, interactions + int(np.argmax(ended[interactions - 1 :])))
