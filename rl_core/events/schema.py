"""The event schema: the fields of decisions, rewards and interactions, with types, bounds and descriptions.

BigQuery columns, JSON, Parquet and TF Examples are derived from the types of these Arrow schemas. The types of contexts
and of candidates' features are the task's. A row of decisions is one decision, never a batch.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.settings.reward_range import MAX_ABS_VALUE
from banditloop.rl_core.settings.task import MAX_CANDIDATES, MAX_ID_LENGTH, Task

TIME = pa.timestamp("us", "UTC")
DOUBLES = pa.list_(pa.float64())
MIN_TIME, MAX_TIME = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
MAX_LEAD = timedelta(hours=1)  # by which a logged_at may be ahead of the clock, after the clock was set back
SCHEMA_VERSION = 3
RANDOM = "random"  # the policy version that chooses actions uniformly
APPLICATION = "application"  # policy_version of decisions that an application took itself
MODES = ("online", "deferred", "shadow", "external", "simulated")
MAX_CATEGORIES = 1_000  # in a set of them
MAX_STEP = 2**31 - 1  # of int32
MAX_PROBABILITIES = 10_000  # of numbered actions that are all candidates, which a row need not list
ID: dict[str, Any] = {"min_length": 1, "max_length": MAX_ID_LENGTH}


def _field(name: str, kind: pa.DataType, description: str, nullable: bool = False, **bounds: Any) -> pa.Field:
    metadata = {"description": description, "bounds": orjson.dumps(bounds)}
    return pa.field(name, kind, nullable=nullable, metadata=metadata)


def decision_schema(task: Task) -> pa.Schema:
    """The schema of decisions of a task."""
    return _decision_schema(task.context_type, task.candidate_type)


def interaction_schema(task: Task) -> pa.Schema:
    """The schema of interactions of a task: decisions with their rewards."""
    return _interaction_schema(task.context_type, task.candidate_type)


def event_schema(table: str, task: Task) -> pa.Schema:
    """The schema of a table's events."""
    return decision_schema(task) if table == "decisions" else REWARD


@cache
def _decision_schema(context: pa.DataType, candidate: pa.DataType) -> pa.Schema:
    return pa.schema([*ORIGIN, *_asked(context, candidate), *CHOICE, *LOGGING, *EPISODE_AND_LIST])


def _asked(context: pa.DataType, candidate: pa.DataType) -> list[pa.Field]:
    """The fields of context and candidates, whose types are the task's."""
    return [
        _field("context", context, "features of the context, by name; missing ones are null"),
        _field(
            "candidates",
            pa.list_(pa.string()),
            "ids of the actions that could be chosen; empty: all of a task with numbered actions, from 0 on",
            max_length=MAX_CANDIDATES,
            **{f"item_{key}": value for key, value in ID.items()},
        ),
        _field(
            "candidate_features",
            pa.list_(candidate),
            "features of each candidate, by name; empty where the catalogue has them, or there are none",
            max_length=MAX_CANDIDATES,
        ),
    ]


@cache
def _interaction_schema(context: pa.DataType, candidate: pa.DataType) -> pa.Schema:
    reward = _field("reward", pa.float64(), "aggregated reward of the decision; the default if it has none")
    return pa.schema([*_decision_schema(context, candidate), reward])


ORIGIN = [
    _field("event_id", pa.string(), "unique id of the decision; its rewards have the same event_id", **ID),
    _field("timestamp", TIME, "time at which the action was chosen"),
    _field("policy_version", pa.string(), "version of the policy that chose the action", **ID),
]
CHOICE = [
    _field("action", pa.string(), "id of the chosen action", **ID),
    _field("propensity", pa.float64(), "probability with which the policy chose the action", gt=0, le=1),
    _field(
        "probabilities",
        DOUBLES,
        "probability of every candidate; sums to 1",
        max_length=MAX_PROBABILITIES,
        item_ge=0,
        item_le=1,
    ),
]
LOGGING = [
    _field(
        "mode",
        pa.string(),
        "online: shown to a user; deferred: counts once activated; shadow: logged, not shown; external: chosen by the "
        "application; simulated: written by the generator",
        pattern=f"^({'|'.join(MODES)})$",
    ),
    _field(
        "logging_probability",
        pa.float64(),
        "probability that this decision was logged; its sample weight is 1 / logging_probability",
        gt=0,
        le=1,
    ),
    _field(
        "assignment_share",
        pa.float64(),
        "probability with which this version was to answer; null where a platform splits the traffic",
        nullable=True,
        ge=0,
        le=1,
    ),
]
EPISODE_AND_LIST = [
    _field("episode_id", pa.string(), "id of the episode that the decision belongs to", nullable=True, **ID),
    _field("step", pa.int32(), "number of the decision in its episode, from 0 on", nullable=True, ge=0),
    _field("terminal", pa.bool_(), "whether the episode ended with this decision", nullable=True),
    _field("truncated", pa.bool_(), "whether the episode was cut off after this decision", nullable=True),
    _field("slate_id", pa.string(), "id of the list that the decision is an entry of", nullable=True, **ID),
    _field("slot", pa.int32(), "position in the list, from 0 on", nullable=True, ge=0),
]

REWARD = pa.schema(
    [
        _field("event_id", pa.string(), "id of the decision that earned the reward", **ID),
        _field("name", pa.string(), "name of the reward; training uses the rewards of one name", **ID),
        _field("value", pa.float64(), "value of the reward", ge=-MAX_ABS_VALUE, le=MAX_ABS_VALUE),
        _field("timestamp", TIME, "time at which the reward was earned"),
        _field(
            "source_id",
            pa.string(),
            "distinguishes several rewards with the same event_id and name",
            max_length=MAX_ID_LENGTH,
        ),
        _field("received_at", TIME, "time at which the reward was accepted; null: that of its logging", nullable=True),
    ]
)

LOGGED_AT = _field("logged_at", TIME, "time at which the warehouse stored the row; increases with every append")

KEYS = {"decisions": ["event_id"], "rewards": ["event_id", "name", "source_id"]}
STORED_TABLES = {"decisions": "decisions_v3", "rewards": "rewards"}  # names in the warehouse


def split_by_version(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.Table]]:
    """Each policy version in a batch of interactions, with its rows."""
    table = pa.table(batch)
    versions = table["policy_version"].unique().to_pylist()
    for version in versions:  # a filter copies all columns
        yield version, table.filter(pc.equal(table["policy_version"], version)) if len(versions) > 1 else table
