"""Missing lists read as empty ones, which is the same on every backend."""

import pyarrow as pa
import pyarrow.compute as pc


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
    given = pc.coalesce(values, pa.scalar([], kind)) if values.null_count else values
    if not pa.types.is_struct(kind.value_type):
        return given
    return pa.ListArray.from_arrays(given.offsets, filled(given.values), type=kind)
