"""Examples in uncompressed Arrow IPC files, which are mapped into memory and read without being parsed.

Floating-point numbers have single precision, as in TFRecords, so that a policy does not depend on the format. Arrow
has no checksums: a file's CRC-32C stands beside it, in hexadecimal. A file without one, of another writer, is only
checked to be valid.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import google_crc32c
import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput

SUFFIX = ".arrow"
WRONG = (pa.ArrowException, KeyError, ValueError)  # what reading raises of files that are damaged or of another task


def write_arrow(path: Path, batches: Iterable[pa.RecordBatch]) -> int:
    """Write a file and its checksum; returns the number of its rows."""
    rows, batches = 0, iter(batches)
    first = next(batches)
    schema = stored_schema(first.schema)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as file:
        for batch in chain([first], batches):
            file.write_batch(pa.RecordBatch.from_arrays(_cast(batch, schema), schema=schema))
            rows += batch.num_rows
    _checksum_path(path).write_text(_checksum(_mapped(path)))
    return rows


def read_arrow(path: Path, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """The rows of a file with these fields, in tables of up to `rows` rows.

    Raises:
        InvalidInput: the file is cut off or damaged, or lacks a field.
    """
    expected, content = _checksum_path(path), _mapped(path)
    if expected.exists() and expected.read_text() != _checksum(content):
        raise InvalidInput(f"{path}: is damaged")
    try:
        table = pa.ipc.open_file(content).read_all()
        if not expected.exists():
            table.validate(full=True)
        for first in range(0, table.num_rows, rows):
            part = table.slice(first, rows).select(schema.names).combine_chunks()
            yield pa.table(_cast(part, schema), schema=schema)
    except WRONG as error:
        raise _unreadable(path, error) from None


def _cast(rows: pa.RecordBatch | pa.Table, schema: pa.Schema) -> list[pa.Array]:
    """The columns in the types of a schema. Those that have their type are not cast, which would copy nested values."""
    pairs = zip(rows.columns, schema, strict=True)
    return [column if column.type == field.type else column.cast(field.type) for column, field in pairs]


def arrow_names(path: Path) -> list[str]:
    """The names of a file's columns. InvalidInput: it is damaged."""
    try:
        with pa.memory_map(str(path)) as source:
            return list(pa.ipc.open_file(source).schema.names)
    except WRONG as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InvalidInput:
    return InvalidInput(f"{path}: is damaged, or of another task: {error}")


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """A schema with floating-point numbers in single precision, except in lists of structs: JSON in TFRecords."""
    return pa.schema([field.with_type(_stored(field.type)) for field in schema])


def _stored(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_stored(field.type)) for field in kind])
    if pa.types.is_list(kind):
        is_flat = not pa.types.is_nested(kind.value_type)
        return pa.list_(kind.value_field.with_type(_stored(kind.value_type))) if is_flat else kind
    return pa.float32() if pa.types.is_floating(kind) else kind


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.crc32c")


def _mapped(path: Path) -> pa.Buffer:
    """A file's content, mapped into memory. InvalidInput: it is empty."""
    try:
        return pa.memory_map(str(path)).read_buffer()
    except pa.ArrowException as error:
        raise _unreadable(path, error) from None


def _checksum(content: pa.Buffer) -> str:
    return f"{google_crc32c.value(content):08x}"
