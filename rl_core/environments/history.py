"""A simulated log of a uniformly random policy."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from banditloop.rl_core.environments import Environment
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.rows import decision_table, reward_table
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.settings.section import digest

HISTORY_START = datetime(2025, 1, 1, tzinfo=UTC)  # before any real event, and the same on every retry
ROWS_PER_BATCH = 10_000


def simulated_history(
    environment: Environment, interactions: int, reward_name: str, seed: int
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Batches of decisions and their rewards. The same arguments give the same events with the same ids.

    Raises:
        InvalidInput: interactions is less than 1.
    """
    if interactions < 1:
        raise InvalidInput(f"interactions = {interactions}: give at least 1")
    random = np.random.default_rng(seed)
    identifier = digest([environment.model_dump(mode="json"), interactions, seed])
    for start in range(0, interactions, ROWS_PER_BATCH):
        rows = range(start, min(start + ROWS_PER_BATCH, interactions))
        event_ids = [f"simulated-{identifier}-{row}" for row in rows]
        times = [HISTORY_START + timedelta(milliseconds=row) for row in rows]
        observations = environment.observe(len(rows), random)
        actions = random.integers(environment.actions, size=len(rows))
        propensity = 1 / environment.actions
        decisions = decision_table(
            event_id=event_ids,
            timestamp=times,
            policy_version=RANDOM,
            observation=list(observations),
            action=actions.astype(np.int32),
            propensity=propensity,
            probabilities=[[propensity] * environment.actions] * len(rows),
            mode="simulated",
        )
        rewards = reward_table(
            event_id=event_ids,
            value=environment.reward(observations, actions, event_ids),
            timestamp=times,
            name=reward_name,
            source_id="generator",
        )
        yield decisions, rewards
