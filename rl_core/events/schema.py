"""The event schema: the fields of decisions, rewards and interactions, with types, bounds and descriptions.

BigQuery columns, JSON, Parquet and TF Examples are derived from the types of these Arrow schemas. A row of DECISION is
one decision, never a batch.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.section import explain

TIME = pa.timestamp("us", "UTC")
FLOATS = pa.list_(pa.float32())
DOUBLES = pa.list_(pa.float64())
MIN_TIME, MAX_TIME = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
MAX_ID_LENGTH = 256
SCHEMA_VERSION = 2
# Per schema version, the fields that the next version added, with their values in older events.
SCHEMA_UPGRADES: tuple[dict[str, Any], ...] = ({"pass_probability": 1.0},)
FIELD_DEFAULTS = {name: value for added in SCHEMA_UPGRADES for name, value in added.items()}
RANDOM = "random"  # the policy version that chooses actions uniformly
MODES = ("online", "deferred", "shadow", "logged", "simulated")
MAX_ABS_VALUE = 1e6  # squares of larger numbers would dominate the sums of training
ID: dict[str, Any] = {"min_length": 1, "max_length": MAX_ID_LENGTH}


def _field(name: str, kind: pa.DataType, description: str, **bounds: Any) -> pa.Field:
    metadata = {"description": description, "bounds": orjson.dumps(bounds)}
    return pa.field(name, kind, nullable=False, metadata=metadata)


DECISION = pa.schema(
    [
        _field("event_id", pa.string(), "unique id of the decision; its rewards have the same event_id", **ID),
        _field("timestamp", TIME, "time at which the action was chosen"),
        _field("policy_version", pa.string(), "version of the policy that chose the action", **ID),
        _field("observation", FLOATS, "context of the decision [dim]", ge=-MAX_ABS_VALUE, le=MAX_ABS_VALUE),
        _field("action", pa.int32(), "index of the chosen action", ge=0),
        _field("propensity", pa.float64(), "probability with which the policy chose the action", gt=0, le=1),
        _field("probabilities", DOUBLES, "probability of every action [actions]; sums to 1"),
        _field(
            "mode",
            pa.string(),
            "online: shown to a user; deferred: counts once activated; shadow: logged, not shown; logged: chosen by "
            "the application; simulated: written by the generator",
            pattern=f"^({'|'.join(MODES)})$",
        ),
        _field(
            "pass_probability",
            pa.float64(),
            "probability that this decision was logged; its sample weight is 1 / pass_probability",
            gt=0,
            le=1,
        ),
    ]
)

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
    ]
)

INTERACTION = pa.schema(
    [*DECISION, _field("reward", pa.float64(), "aggregated reward of the decision; the default if it has none")]
)

LOGGED_AT = _field("logged_at", TIME, "time at which the warehouse stored the row; increases with every append")

KEYS = {"decisions": ["event_id"], "rewards": ["event_id", "name", "source_id"]}
SCHEMAS = {"decisions": DECISION, "rewards": REWARD}


def encode(table: pa.Table) -> bytes:
    """JSON array of events, the format of the bus."""
    return orjson.dumps([{"schema_version": SCHEMA_VERSION} | row for row in table.to_pylist()])


def decode(schema: pa.Schema, payload: bytes) -> pa.Table:
    """Table of the events in a JSON array; events of older schema versions are upgraded.

    Raises:
        InvalidInput: the payload is not such an array; names row, field, value and what would be right. Or an event has
            a newer schema version than this code supports.
    """
    try:
        rows = _rows(schema).validate_json(payload)
    except ValidationError as error:
        if upgraded := _upgraded(schema, payload):
            return decode(schema, upgraded)
        raise InvalidInput(explain(error, "event")) from None
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowInvalid, OverflowError) as error:
        raise InvalidInput(f"event: {error}") from None


def _upgraded(schema: pa.Schema, payload: bytes) -> bytes | None:
    """The payload with its events of older schema versions upgraded; None if it has none.

    An event without schema_version has version 1.
    """
    try:
        events = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    has_older = False
    for event in events if isinstance(events, list) else []:
        version = event.get("schema_version", 1) if isinstance(event, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise InvalidInput(
                f"event: schema_version = {version}: {SCHEMA_VERSION} is the newest known here; "
                "upgrade the logger, then `banditloop dead-letters replay`"
            )
        if isinstance(version, int) and 1 <= version < SCHEMA_VERSION:
            has_older = True
            for added in SCHEMA_UPGRADES[version - 1 :]:
                for name in added.keys() & set(schema.names):
                    event.setdefault(name, added[name])
            event["schema_version"] = SCHEMA_VERSION
    return orjson.dumps(events) if has_older else None


def split_by_version(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.Table]]:
    """Each policy version in a batch of interactions, with its rows."""
    table = pa.table(batch)
    for version in table["policy_version"].unique().to_pylist():
        yield version, table.filter(pc.equal(table["policy_version"], version))


@cache
def _rows(schema: pa.Schema) -> TypeAdapter[list[dict[str, Any]]]:
    return TypeAdapter(list[row_type(schema)])  # type: ignore[misc, arg-type]


@cache
def row_type(schema: pa.Schema) -> Any:
    """TypedDict of one event, against which Pydantic validates."""
    fields: dict[str, Any] = {"schema_version": Literal[SCHEMA_VERSION]}
    for field in schema:
        fields[field.name] = _python_type(field.type, Field(**orjson.loads(field.metadata[b"bounds"])))
    dynamic: Any = TypedDict  # type checkers accept only literal fields
    row = dynamic("row", fields)
    row.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return row


def _python_type(kind: pa.DataType, bounds: Any) -> Any:
    if pa.types.is_list(kind):
        return list[_python_type(kind.value_type, bounds)]  # type: ignore[misc]
    if pa.types.is_timestamp(kind):
        return Annotated[AwareDatetime, Field(ge=MIN_TIME, le=MAX_TIME)]
    python = {pa.string(): str, pa.int32(): int, pa.float32(): float, pa.float64(): float}[kind]
    return Annotated[python, bounds]
