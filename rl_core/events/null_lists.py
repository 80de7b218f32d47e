"""Missing lists are read as empty ones, the same on every backend; a list must not contain nulls."""

import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.errors import InvalidInput


def without_null_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with missing lists as empty ones, also those within structs and lists."""
    columns = [filled(column) if pa.types.is_nested(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def filled(values: pa.Array) -> pa.Array:
    """An array whose missing lists are empty ones, also those within structs and lists."""
    kind = values.type
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays([filled(column) for column in values.flatten()], fields=list(kind))
    if not pa.types.is_list(kind):
        return values
    lists = pc.coalesce(values, pa.scalar([], kind)) if values.null_count else values
    if not pa.types.is_struct(kind.value_type):
        return lists
    return pa.ListArray.from_arrays(lists.offsets, filled(lists.values), type=kind)


def check_items(batch: pa.RecordBatch) -> None:
    """InvalidInput: a list of a batch of interactions, or one within a struct, has a null; names the interaction."""
    for field, column in zip(batch.schema, batch.columns, strict=True):
        _check_items(field.name, column, batch)


def _check_items(name: str, values: pa.Array, batch: pa.RecordBatch) -> None:
    if pa.types.is_struct(values.type):
        for field, column in zip(values.type, values.flatten(), strict=True):
            _check_items(f"{name}.{field.name}", column, batch)
    elif pa.types.is_list(values.type) and (items := values.flatten()).null_count:
        row = pc.list_parent_indices(values).filter(pc.is_null(items))[0].as_py()
        event_id = batch.column("event_id")[row]
        raise InvalidInput(f"interaction {event_id}: {name} has a null in its list; leave it out, or give a value")
