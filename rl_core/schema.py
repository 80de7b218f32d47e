"""The event model: decisions, rewards and interactions, each field named and explained once.

BigQuery columns, JSON, Parquet and TF Examples are derived from these Arrow schemas by type.
One row is one decision, never a batch.
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

from rl_core.errors import InvalidInput
from rl_core.sections import explain

TIME = pa.timestamp("us", "UTC")
FLOATS = pa.list_(pa.float32())
DOUBLES = pa.list_(pa.float64())
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
LONGEST_ID = 256
SCHEMA_VERSION = 2
UPGRADES: tuple[dict[str, Any], ...] = (  # per version, the fields that the next one added and what they were before
    {"pass_probability": 1.0},
)
LATER_FIELDS = {name: value for added in UPGRADES for name, value in added.items()}
MODES = ("online", "deferred", "shadow", "logged", "simulated")
ACTIVATION = "activation"  # the name of the reward that activates a deferred decision
LARGEST = 1e6  # squares of larger numbers would drown all others in the sums that training keeps


ID: dict[str, Any] = {"min_length": 1, "max_length": LONGEST_ID}


def _field(name: str, kind: pa.DataType, description: str, **bounds: Any) -> pa.Field:
    metadata = {"description": description, "bounds": orjson.dumps(bounds)}
    return pa.field(name, kind, nullable=False, metadata=metadata)


DECISION = pa.schema(
    [
        _field("event_id", pa.string(), "unique id of the decision; its reward carries the same", **ID),
        _field("timestamp", TIME, "when the action was chosen"),
        _field("policy_version", pa.string(), "version of the policy that chose it", **ID),
        _field("observation", FLOATS, "what the policy saw [dim]", ge=-LARGEST, le=LARGEST),
        _field("action", pa.int32(), "index of the action chosen", ge=0),
        _field("propensity", pa.float64(), "probability with which the policy chose this action", gt=0, le=1),
        _field("probabilities", DOUBLES, "probability of every action [actions]; sums to 1"),
        _field(
            "mode",
            pa.string(),
            "online: shown to a user; deferred: counts once activated; shadow: only logged; logged: taken by the "
            "application; simulated: written by the generator",
            pattern=f"^({'|'.join(MODES)})$",
        ),
        _field(
            "pass_probability",
            pa.float64(),
            "share of decisions logged at the time; a row stands for 1 / that",
            gt=0,
            le=1,
        ),
    ]
)

REWARD = pa.schema(
    [
        _field("event_id", pa.string(), "id of the decision that earned it", **ID),
        _field("name", pa.string(), "which reward it is; one name is trained on", **ID),
        _field("value", pa.float64(), "the reward", ge=-LARGEST, le=LARGEST),
        _field("timestamp", TIME, "when it was earned"),
        _field("source_id", pa.string(), "tells several rewards of one event and name apart", max_length=LONGEST_ID),
    ]
)

INTERACTION = pa.schema(
    [*DECISION, _field("reward", pa.float64(), "the decision's rewards, aggregated; the default where none came")]
)

LOGGED_AT = _field("logged_at", TIME, "when the warehouse took the row; grows with every append")

KEYS = {"decisions": ["event_id"], "rewards": ["event_id", "name", "source_id"]}
SCHEMAS = {"decisions": DECISION, "rewards": REWARD}


def encode(table: pa.Table) -> bytes:
    """A table of events as the JSON array that travels over the bus."""
    return orjson.dumps([{"schema_version": SCHEMA_VERSION} | row for row in table.to_pylist()])


def decode(schema: pa.Schema, payload: bytes) -> pa.Table:
    """The table that a JSON array of events holds, those of older schema versions upgraded.

    Raises:
        InvalidInput: the payload is not such an array; names row, field, value and what would be right. Or an event is
            of a newer schema version, whose meaning is not known here.
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
    """The payload with its events of older schema versions in the present form, or None where there are none.

    An event that tells no version is of the first.
    """
    try:
        events = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    older = False
    for event in events if isinstance(events, list) else []:
        version = event.get("schema_version", 1) if isinstance(event, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise InvalidInput(
                f"event: schema_version = {version}: {SCHEMA_VERSION} is the newest known here; "
                "upgrade the logger, then `banditloop dead-letters replay`"
            )
        if isinstance(version, int) and 1 <= version < SCHEMA_VERSION:
            older = True
            for added in UPGRADES[version - 1 :]:
                for name in added.keys() & set(schema.names):
                    event.setdefault(name, added[name])
            event["schema_version"] = SCHEMA_VERSION
    return orjson.dumps(events) if older else None


def by_version(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.Table]]:
    """The interactions of every policy version in a batch."""
    table = pa.table(batch)
    for version in table["policy_version"].unique().to_pylist():
        yield version, table.filter(pc.equal(table["policy_version"], version))


def read_request(body: bytes) -> dict[str, Any]:
    """The JSON object of a request's body; empty where it is JSON of another kind.

    Raises:
        InvalidInput: it is not JSON.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"request: not JSON ({error})") from None
    return request if isinstance(request, dict) else {}


@cache
def _rows(schema: pa.Schema) -> TypeAdapter[list[dict[str, Any]]]:
    return TypeAdapter(list[row_type(schema)])  # type: ignore[misc, arg-type]


@cache
def row_type(schema: pa.Schema) -> Any:
    """The typed dict of one event."""
    fields: dict[str, Any] = {"schema_version": Literal[SCHEMA_VERSION]}
    for field in schema:
        fields[field.name] = _python_type(field.type, Field(**orjson.loads(field.metadata[b"bounds"])))
    dynamic: Any = TypedDict  # whose fields type checkers want to read in the source
    row = dynamic("row", fields)
    row.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return row


def _python_type(kind: pa.DataType, bounds: Any) -> Any:
    if pa.types.is_list(kind):
        return list[_python_type(kind.value_type, bounds)]  # type: ignore[misc]
    if pa.types.is_timestamp(kind):
        return Annotated[AwareDatetime, Field(ge=EARLIEST, le=LATEST)]
    python = {pa.string(): str, pa.int32(): int, pa.float32(): float, pa.float64(): float}[kind]
    return Annotated[python, bounds]
