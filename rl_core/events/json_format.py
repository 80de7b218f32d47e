"""Events as JSON, the format of the bus: validation by the schema, and upgrades of older versions."""

from functools import cache
from typing import Annotated, Any, Literal, NotRequired

import orjson
import pyarrow as pa
from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import (
    MAX_ABS_VALUE,
    MAX_CATEGORIES,
    MAX_TIME,
    MIN_TIME,
    SCHEMA_VERSION,
)
from banditloop.rl_core.settings.feature_kinds import MAX_TEXT_LENGTH
from banditloop.rl_core.settings.section import explain
from banditloop.rl_core.settings.task import Task

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
PYTHON_TYPES = {
    pa.string(): str,
    pa.bool_(): bool,
    pa.int32(): int,
    pa.float32(): float,
    pa.float64(): float,
}
FEATURE_BOUNDS: dict[Any, dict[str, Any]] = {
    str: {"min_length": 1, "max_length": MAX_TEXT_LENGTH},
    float: {"ge": -MAX_ABS_VALUE, "le": MAX_ABS_VALUE},
}


def encode(table: pa.Table) -> bytes:
    """JSON array of events."""
    return orjson.dumps([{"schema_version": SCHEMA_VERSION} | row for row in table.to_pylist()])


def decode(schema: pa.Schema, payload: bytes, task: Task | None = None) -> pa.Table:
    """Table of the events in a JSON array; those of older schema versions are upgraded, decisions by their task.

    Raises:
        InvalidInput: the payload is not such an array; names row, field, value and what would be right. Or an event has
            a newer schema version than this code supports.
    """
    try:
        rows = _rows(schema).validate_json(payload)
    except ValidationError as error:
        if upgraded := _upgraded(payload, task):
            return decode(schema, upgraded)
        raise InvalidInput(explain(error, "event")) from None
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowInvalid, OverflowError) as error:
        raise InvalidInput(f"event: {error}") from None


def single_events(payload: bytes) -> list[bytes]:
    """The events of a JSON array, each as an array of its own; the payload itself if it is none."""
    try:
        events = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return [payload]
    return [orjson.dumps([event]) for event in events] if isinstance(events, list) else [payload]


def _upgraded(payload: bytes, task: Task | None) -> bytes | None:
    """The payload with its events of older schema versions upgraded; None if it has none."""
    try:
        events = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(events, list):
        return None
    versions = [event.get("schema_version", 1) for event in events if isinstance(event, dict)]
    for version in versions:
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise InvalidInput(
                f"event: schema_version = {version}: {SCHEMA_VERSION} is the newest known here; "
                "upgrade the logger, then `banditloop dead-letters replay`"
            )
    if not any(version in (1, 2) for version in versions):
        return None
    return orjson.dumps([_upgrade_event(event, task) for event in events])


def _upgrade_event(event: Any, task: Task | None) -> Any:
    """An event of version 1 or 2 in version 3; others as they are. Wrong fields stay, for errors to name them."""
    if not isinstance(event, dict) or event.get("schema_version", 1) not in (1, 2):
        return event
    event = event | {"schema_version": SCHEMA_VERSION}
    if "observation" not in event:
        return event  # a reward, whose fields did not change
    if task is None or task.plain is None or not task.numbered:
        raise InvalidInput(
            "event: schema version 2 can be read only for a task with one vector and numbered actions; "
            "this task has others"
        )
    event["context"] = {task.plain: event.pop("observation")}
    event["logging_probability"] = event.pop("pass_probability", 1.0)
    event["action"] = str(event.get("action"))
    event["mode"] = "external" if event.get("mode") == "logged" else event.get("mode")
    return event | {"candidates": [], "candidate_features": []}


@cache
def _rows(schema: pa.Schema) -> TypeAdapter[list[dict[str, Any]]]:
    return TypeAdapter(Annotated[list[row_type(schema)], Field(fail_fast=True)])  # type: ignore[misc, arg-type]


@cache
def row_type(schema: pa.Schema) -> Any:
    """TypedDict of one event, against which Pydantic validates."""
    fields: dict[str, Any] = {"schema_version": Literal[SCHEMA_VERSION]}
    for field in schema:
        python = _field_type(field.type, orjson.loads(field.metadata[b"bounds"]))
        fields[field.name] = NotRequired[python | None] if field.nullable else python
    return _typed_dict("row", fields)


@cache
def stored_features_type(struct: pa.StructType) -> Any:
    """TypedDict of features by name, all optional: those of a context or of a candidate."""
    fields = {field.name: NotRequired[_feature_type(field.type) | None] for field in struct}
    return _typed_dict("features", fields)


def _typed_dict(name: str, fields: dict[str, Any]) -> Any:
    dynamic: Any = TypedDict  # type checkers accept only literal fields
    result = dynamic(name, fields)
    result.__pydantic_config__ = STRICT
    return result


def _field_type(kind: pa.DataType, bounds: dict[str, Any]) -> Any:
    if pa.types.is_struct(kind):
        return stored_features_type(kind)
    if pa.types.is_list(kind):
        item_bounds = {key.removeprefix("item_"): bounds.pop(key) for key in list(bounds) if key.startswith("item_")}
        return Annotated[list[_field_type(kind.value_type, item_bounds)], Field(**bounds)]  # type: ignore[misc]
    if pa.types.is_timestamp(kind):
        return Annotated[AwareDatetime, Field(ge=MIN_TIME, le=MAX_TIME)]
    return Annotated[PYTHON_TYPES[kind], Field(**bounds)]


def _feature_type(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        item = _feature_type(kind.value_type)
        is_set = pa.types.is_string(kind.value_type)
        return Annotated[list[item], Field(max_length=MAX_CATEGORIES)] if is_set else list[item]  # type: ignore[valid-type]
    python = PYTHON_TYPES[kind]
    return Annotated[python, Field(**FEATURE_BOUNDS.get(python, {}))]
