"""The stored features of a log and those of its task: features come and go, and keep their kinds."""

import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput

SECTIONS = {"context": "task.context", "candidate_features": "task.action_features"}  # of the config, by column
KINDS = {pa.float64(): "number", pa.bool_(): "boolean", pa.string(): "category"}


def merged(stored: pa.Schema, wanted: pa.Schema) -> pa.Schema:
    """The wanted schema and the features that are only stored. Stored features keep their positions.

    Raises:
        InvalidInput: a feature is stored as another kind, or in another spelling; names it.
    """
    return pa.schema(
        [_field(stored.field(field.name), field) if field.name in stored.names else field for field in wanted]
    )


def _field(stored: pa.Field, wanted: pa.Field) -> pa.Field:
    if pa.types.is_struct(wanted.type):
        return wanted.with_type(_struct(stored.type, wanted.type, SECTIONS[wanted.name]))
    if pa.types.is_list(wanted.type) and pa.types.is_struct(wanted.type.value_type):
        struct = _struct(stored.type.value_type, wanted.type.value_type, SECTIONS[wanted.name])
        return wanted.with_type(pa.list_(struct))
    return wanted


def _struct(stored: pa.StructType, wanted: pa.StructType, section: str) -> pa.StructType:
    spellings = {field.name.lower(): field for field in stored}
    for field in wanted:
        if known := spellings.get(field.name.lower()):
            _check(known, field, f"{section}.{field.name}")
    features = {field.name: field for field in wanted}
    return pa.struct(list(({field.name: field for field in stored} | features).values()))


def _check(stored: pa.Field, wanted: pa.Field, key: str) -> None:
    if stored.name != wanted.name:
        raise InvalidInput(f"{key}: is stored as {stored.name}, and SQL does not distinguish them; spell it the same")
    before, now = _kind(stored.type), _kind(wanted.type)
    if before != now:
        raise InvalidInput(f"{key}: is stored as {before}; the task says {now}: rename the feature")


def _kind(stored: pa.DataType) -> str:
    """The kind of features that are stored with a type."""
    if pa.types.is_list(stored):
        return "vector" if pa.types.is_floating(stored.value_type) else "categories"
    return KINDS.get(stored, str(stored))
