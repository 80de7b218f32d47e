"""Simulated history: what a uniformly random policy would have logged."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from rl_core.environments import Environment
from rl_core.errors import InvalidInput
from rl_core.manifest import RANDOM
from rl_core.schema import DECISION, REWARD
from rl_core.sections import digest

BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)  # before anything real, and the same on every attempt
ROWS_PER_BATCH = 10_000


def simulated_history(
    environment: Environment, interactions: int, reward_name: str, seed: int
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Decisions and their rewards, in batches. The same arguments give the same events with the same ids."""
    if interactions < 1:
        raise InvalidInput(f"interactions = {interactions}: give at least 1")
    random = np.random.default_rng(seed)
    identity = [environment.model_dump(mode="json"), interactions, seed]
    identifier = digest(identity)
    for start in range(0, interactions, ROWS_PER_BATCH):
        rows = range(start, min(start + ROWS_PER_BATCH, interactions))
        event_ids = [f"simulated-{identifier}-{row}" for row in rows]
        times = [BEGINNING + timedelta(milliseconds=row) for row in rows]
        observations = environment.observe(len(rows), random)
        actions = random.integers(environment.actions, size=len(rows))
        propensity = 1 / environment.actions
        decisions = {
            "event_id": event_ids,
            "timestamp": times,
            "policy_version": [RANDOM] * len(rows),
            "observation": list(observations),
            "action": actions.astype(np.int32),
            "propensity": [propensity] * len(rows),
            "probabilities": [[propensity] * environment.actions] * len(rows),
            "mode": ["simulated"] * len(rows),
            "pass_probability": [1.0] * len(rows),
        }
        rewards = {
            "event_id": event_ids,
            "name": [reward_name] * len(rows),
            "value": environment.reward(observations, actions, event_ids),
            "timestamp": times,
            "source_id": ["generator"] * len(rows),
        }
        yield pa.table(decisions, schema=DECISION), pa.table(rewards, schema=REWARD)
