"""Events for tests: decisions of two actions, and rewards."""

from datetime import UTC, datetime

import pyarrow as pa

from banditloop.rl_core.events.rows import decision_table, reward_table


def decisions(
    event_ids: list[str], version: str = "v1-a", at: datetime | None = None, mode: str = "online"
) -> pa.Table:
    """Decisions with these ids, all alike; taken now where no time is given."""
    return decision_table(
        event_id=event_ids,
        timestamp=at or datetime.now(UTC),
        policy_version=version,
        observation=[[1.0, 2.0]] * len(event_ids),
        action=0,
        propensity=0.5,
        probabilities=[[0.5, 0.5]] * len(event_ids),
        mode=mode,
    )


def rewards(
    event_ids: list[str], reward: float = 1.0, at: datetime | None = None, source_id: str = "", name: str = "reward"
) -> pa.Table:
    """Rewards of the decisions with these ids; earned now where no time is given."""
    return reward_table(
        event_id=event_ids, value=reward, timestamp=at or datetime.now(UTC), name=name, source_id=source_id
    )
