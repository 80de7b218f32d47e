"""Rows of Arrow as serialised tf.train.Examples, encoded by column: no row is touched in Python.

An Example is nested length-prefixed bytes (tensorflow/core/example/example.proto): of each feature an entry of a map,
with its name and a list of bytes, packed float32 or packed int64. The prefix of a row's values depends on the number of
their bytes alone, so it is made once for each number that occurs.
"""

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.events.binary_columns import Column, from_parts, large_binary, parts, prefixed, prefixes

LIST_TAGS = {"bytes_list": b"\x0a", "float_list": b"\x12", "int64_list": b"\x1a"}
TAG, VALUE_TAG = b"\x0a", b"\x12"  # of a message's first field, and of a map entry's value; both length-prefixed
EMPTY = pa.scalar(b"[]", pa.large_binary())
VARINT_BYTES = 10  # of a negative integer; seven bits each
LONGER = np.array([1 << 7 * places for places in range(1, VARINT_BYTES)], np.uint64)  # the least of 2, 3, … bytes


def records(columns: dict[str, pa.Array], kinds: dict[str, str]) -> pa.Array:
    """The Examples of rows as large binary [B]; columns: the values of each feature; kinds: its kind of list.

    Columns are of strings, booleans, integers, timestamps, floating-point numbers, or lists of these; those of lists of
    structs are bytes. A null has no values.
    """
    entries = [part for name, column in columns.items() for part in _entries(name, column, kinds[name])]
    return large_binary(prefixed(before_bytes, *entries))


def json_column(column: pa.Array) -> pa.Array:
    """Lists of structs as the bytes of their JSON; of a null, an empty list."""
    if not len(column.flatten()):  # the common case
        return pa.repeat(EMPTY, len(column))
    return pa.array([orjson.dumps(value or []) for value in column.to_pylist()], pa.large_binary())


def from_json(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Lists of structs of this type from the bytes of their JSON."""
    if pc.all(pc.equal(texts, EMPTY)).as_py():
        offsets = pa.array(np.zeros(len(texts) + 1, np.int32))
        return pa.ListArray.from_arrays(offsets, pa.array([], kind.value_type), type=kind)
    return pa.array([orjson.loads(text) for text in texts.to_pylist()], kind)


def _entries(name: str, column: pa.Array, kind: str) -> tuple[Column, Column]:
    """The entries of a feature in the map of features: their prefixes, and the bytes of their values."""
    if kind == "bytes_list" and not column.null_count and not pa.types.is_list(column.type):  # one in each row
        values = _bytes(column)
        return prefixes(lambda size: _before_one(name, size), values), values
    values = _lists(column, kind)
    return prefixes(lambda size: before_values(name, kind, size), values), values


def _before_one(name: str, size: int) -> bytes:
    """The bytes before the only value of a feature, which has `size` bytes."""
    item = before_bytes(size)
    return before_values(name, "bytes_list", len(item) + size) + item


def before_values(name: str, kind: str, size: int) -> bytes:
    """The bytes before the `size` bytes of a feature's values: the start of its entry in the map, up to them."""
    packed = before_bytes(size) if kind != "bytes_list" and size else b""
    items = LIST_TAGS[kind] + _varint(len(packed) + size) + packed
    value = VALUE_TAG + _varint(len(items) + size) + items
    key = before_bytes(len(name.encode())) + name.encode()
    return before_bytes(len(key) + len(value) + size) + key + value


def before_bytes(size: int) -> bytes:
    """The tag and the length before `size` bytes of a message's first field, such as an item of a list of bytes."""
    return TAG + _varint(size)


def _lists(column: pa.Array, kind: str) -> Column:
    """The bytes of the values in each row, as its list holds them [B]."""
    values = column.flatten() if pa.types.is_list(column.type) else column.drop_null() if column.null_count else column
    if not len(values):  # as of fields that a loop does not use
        return np.empty((len(column), 0), np.uint8)
    ends = _row_ends(column)
    if kind == "float_list":
        content = values.cast(pa.float32()).to_numpy(zero_copy_only=False).astype("<f4", copy=False)
        return from_parts(4 * ends, content.view(np.uint8))
    if kind == "int64_list":
        lengths, content = _varints(values.cast(pa.int64()).to_numpy(zero_copy_only=False))
        return from_parts(np.append(0, lengths.cumsum())[ends], content)
    item_ends, content = parts(prefixed(before_bytes, _bytes(values)))
    return from_parts(item_ends[ends], content)


def _bytes(texts: pa.Array) -> Column:
    return from_parts(*parts(texts.cast(pa.large_binary())))


def _row_ends(column: pa.Array) -> np.ndarray:
    """Where the values of the rows end among all values [B + 1], from 0 on."""
    is_list = pa.types.is_list(column.type)
    if column.null_count:
        lengths = pc.list_value_length(column) if is_list else column.is_valid().cast(pa.int64())
        return np.append(0, lengths.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64).cumsum())
    offsets = column.offsets.to_numpy().astype(np.int64) if is_list else np.arange(len(column) + 1)
    return offsets - offsets[0]


def _varints(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers as varints: the number of bytes of each [B], and all bytes."""
    bits = values.astype(np.int64).view(np.uint64)
    lengths = 1 + np.searchsorted(LONGER, bits, side="right")
    places = np.arange(lengths.max(initial=1))
    groups = (bits[:, None] >> (7 * places).astype(np.uint64)).astype(np.uint8) | 0x80
    groups[np.arange(len(groups)), lengths - 1] &= 0x7F
    return lengths, groups[places < lengths[:, None]]


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
