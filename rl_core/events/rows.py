"""Rows and tables of events: the only code that fills in all fields of a decision or a reward."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from banditloop.rl_core.events.schema import REWARD, SCHEMA_VERSION, TIME, decision_schema
from banditloop.rl_core.settings.task import Task

Row = dict[str, Any]


def decision_row(
    *,
    event_id: str,
    timestamp: datetime,
    policy_version: str,
    context: Mapping[str, Any],
    action: str,
    propensity: float,
    probabilities: Sequence[float] | np.ndarray,
    candidates: Sequence[str] = (),
    candidate_features: Sequence[Mapping[str, Any]] = (),
    mode: str = "online",
    logging_probability: float = 1.0,
    assignment_share: float | None = None,
    episode_id: str | None = None,
    step: int | None = None,
    terminal: bool | None = None,
    truncated: bool | None = None,
    slate_id: str | None = None,
    slot: int | None = None,
) -> Row:
    """One decision in the format of the bus. The fields are described in schema.decision_schema."""
    return {
        "schema_version": SCHEMA_VERSION,
        "event_id": event_id, "timestamp": timestamp, "policy_version": policy_version,
        "context": context, "candidates": candidates, "candidate_features": candidate_features,
        "action": action, "propensity": propensity, "probabilities": probabilities,
        "mode": mode, "logging_probability": logging_probability, "assignment_share": assignment_share,
        "episode_id": episode_id, "step": step, "terminal": terminal, "truncated": truncated,
        "slate_id": slate_id, "slot": slot,
    }  # fmt: skip


def reward_row(
    *,
    event_id: str,
    value: float,
    timestamp: datetime,
    name: str = "reward",
    source_id: str = "",
    received_at: datetime | None = None,
) -> Row:
    """One reward in the format of the bus. The fields are described in schema.REWARD."""
    return {
        "schema_version": SCHEMA_VERSION,
        "event_id": event_id,
        "name": name,
        "value": value,
        "timestamp": timestamp,
        "source_id": source_id,
        "received_at": received_at,
    }


def decision_table(task: Task, **columns: Any) -> pa.Table:
    """Table of decisions from the arguments of `decision_row`, each [B] or one value for all B rows, a tuple."""
    return _table(decision_schema(task), decision_row(**columns))


def reward_table(**columns: Any) -> pa.Table:
    """Table of rewards from the arguments of `reward_row`, each [B] or one value for all B rows."""
    return _table(REWARD, reward_row(**columns))


def with_times(rewards: pa.Table, received_at: datetime) -> pa.Table:
    """The rewards; those without a time of receipt get the given one."""
    field = rewards.schema.get_field_index("received_at")
    times = rewards["received_at"].fill_null(pa.scalar(received_at, TIME))
    return rewards.set_column(field, REWARD.field("received_at"), times)


def _table(schema: pa.Schema, columns: Row) -> pa.Table:
    rows = len(columns["event_id"])
    values = {field.name: _values(columns[field.name], field.type, rows) for field in schema}
    return pa.table(values, schema=schema)


def _values(value: Any, kind: pa.DataType, rows: int) -> Any:
    is_column = isinstance(value, list | np.ndarray | pa.Array)
    return value if is_column else pa.array([value], kind).take(pa.array(np.zeros(rows, np.int64)))
