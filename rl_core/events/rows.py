"""Rows and tables of events: the only code that fills in all fields of a decision or a reward."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from banditloop.rl_core.events.schema import DECISION, REWARD, SCHEMA_VERSION

Row = dict[str, Any]


def decision_row(
    *,
    event_id: str,
    timestamp: datetime,
    policy_version: str,
    observation: Sequence[float] | np.ndarray,
    action: int,
    propensity: float,
    probabilities: Sequence[float] | np.ndarray,
    mode: str = "online",
    pass_probability: float = 1.0,
) -> Row:
    """One decision in the format of the bus. The fields are described in schema.DECISION."""
    return {
        "schema_version": SCHEMA_VERSION,
        "event_id": event_id,
        "timestamp": timestamp,
        "policy_version": policy_version,
        "observation": observation,
        "action": action,
        "propensity": propensity,
        "probabilities": probabilities,
        "mode": mode,
        "pass_probability": pass_probability,
    }


def reward_row(*, event_id: str, value: float, timestamp: datetime, name: str = "reward", source_id: str = "") -> Row:
    """One reward in the format of the bus. The fields are described in schema.REWARD."""
    return {
        "schema_version": SCHEMA_VERSION,
        "event_id": event_id,
        "name": name,
        "value": value,
        "timestamp": timestamp,
        "source_id": source_id,
    }


def decision_table(**columns: Any) -> pa.Table:
    """Table of schema DECISION from the arguments of `decision_row`, each [B] or one value for all B rows."""
    return _table(DECISION, decision_row(**columns))


def reward_table(**columns: Any) -> pa.Table:
    """Table of schema REWARD from the arguments of `reward_row`, each [B] or one value for all B rows."""
    return _table(REWARD, reward_row(**columns))


def _table(schema: pa.Schema, columns: Row) -> pa.Table:
    rows = len(columns["event_id"])
    values = {name: columns[name] for name in schema.names}
    return pa.table(
        {name: value if isinstance(value, list | np.ndarray) else [value] * rows for name, value in values.items()},
        schema=schema,
    )
