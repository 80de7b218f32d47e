"""Events for tests: decisions of a small task, and rewards."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from banditloop.rl_core.events.rows import decision_table, reward_table
from banditloop.rl_core.settings.task import Task

TASK = Task.parse({"actions": 2, "reward_range": [-1.0, 9.0], "context": {"observation": {"vector": 2}}}, "task")


def decisions(
    event_ids: list[str],
    version: str = "v1-a",
    at: datetime | None = None,
    mode: str = "online",
    task: Task = TASK,
    context: Mapping[str, Any] | None = None,
    **fields: Any,
) -> pa.Table:
    """Decisions with these ids, all alike; taken now where no time is given. Other `fields` are those of a row.

    Where candidates are given without an action, the first of them is chosen, and all are equally probable.
    """
    if "candidates" in fields and "action" not in fields:
        shares = [[1 / len(ids)] * len(ids) for ids in fields["candidates"]]
        fields |= {"action": [ids[0] for ids in fields["candidates"]], "probabilities": shares}
        fields["propensity"] = [share[0] for share in shares]
    values: dict[str, Any] = {
        "event_id": event_ids,
        "timestamp": at or datetime.now(UTC),
        "policy_version": version,
        "context": {"observation": [1.0, 2.0]} if context is None else context,
        "action": "0",
        "propensity": 0.5,
        "probabilities": [[0.5, 0.5]] * len(event_ids),
        "mode": mode,
    }
    return decision_table(task, **values | fields)


def rewards(
    event_ids: Sequence[str],
    reward: float = 1.0,
    at: datetime | None = None,
    source_id: str = "",
    name: str = "reward",
    received_at: datetime | None = None,
) -> pa.Table:
    """Rewards of the decisions with these ids; earned now where no time is given."""
    return reward_table(
        event_id=list(event_ids),
        value=reward,
        timestamp=at or datetime.now(UTC),
        name=name,
        source_id=source_id,
        received_at=received_at,
    )
