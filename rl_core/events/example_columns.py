"""Rows of Arrow as serialised tf.train.Examples, encoded by column: no row is touched in Python.

An Example is nested length-prefixed bytes (tensorflow/core/example/example.proto): of each feature an entry of a map,
with its name and a list of bytes, packed float32 or packed int64. What stands before the values of a row follows from
the number of their bytes alone, so it is made once for each number that occurs.
"""

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.events.binary_columns import binary, joined, parts, prefixed, prefixes

LIST_TAGS = {"bytes_list": b"\x0a", "float_list": b"\x12", "int64_list": b"\x1a"}
TAG, VALUE_TAG = b"\x0a", b"\x12"  # of a message's first field, and of a map entry's value; both length-prefixed
EMPTY = pa.scalar(b"[]", pa.large_binary())
VARINT_BYTES = 10  # of a negative integer; seven bits each


def records(columns: dict[str, pa.Array], kinds: dict[str, str]) -> pa.Array:
    """The Examples of rows as large binary [B]; columns: the values of each feature, kinds: those of its list.

    Columns are of strings, booleans, integers, timestamps, floating-point numbers, or lists of these; those of lists of
    structs are bytes. A null has no values.
    """
    entries = [part for name, column in columns.items() for part in _entries(name, column, kinds[name])]
    return prefixed(joined(*entries), before_bytes)


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


def _entries(name: str, column: pa.Array, kind: str) -> tuple[pa.Array, pa.Array]:
    """The entries of a feature in the map of features: what is before the bytes of their values, and these."""
    values = _lists(column, kind)
    return prefixes(values, lambda size: before_values(name, kind, size)), values


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


def _lists(column: pa.Array, kind: str) -> pa.Array:
    """The bytes of the values in each row, as its list holds them [B]."""
    ends = _row_ends(column)
    values = column.flatten() if pa.types.is_list(column.type) else column.drop_null()
    if kind == "float_list":
        content = values.cast(pa.float32()).to_numpy(zero_copy_only=False).astype("<f4", copy=False)
        return binary(4 * ends, content.view(np.uint8))
    if kind == "int64_list":
        lengths, content = _varints(values.cast(pa.int64()).to_numpy(zero_copy_only=False))
        return binary(np.append(0, lengths.cumsum())[ends], content)
    items = prefixed(values.cast(pa.large_binary()), before_bytes)
    item_ends, content = parts(items)
    return binary(item_ends[ends], content)


def _row_ends(column: pa.Array) -> np.ndarray:
    """Where the values of the rows end among all values [B + 1], from 0 on."""
    lengths = pc.list_value_length(column) if pa.types.is_list(column.type) else column.is_valid().cast(pa.int64())
    return np.append(0, lengths.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64).cumsum())


def _varints(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers as varints: the number of bytes of each [B], and all bytes."""
    left, groups = values.astype(np.int64).view(np.uint64), np.empty((len(values), VARINT_BYTES), np.uint8)
    lengths = np.ones(len(values), np.int64)
    for place in range(VARINT_BYTES):
        groups[:, place] = left & np.uint64(0x7F)
        left = left >> np.uint64(7)
        goes_on = left > 0
        if not goes_on.any():
            break
        lengths += goes_on
        groups[goes_on, place] |= 0x80
    return lengths, groups[np.arange(VARINT_BYTES) < lengths[:, None]]


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
