"""Columns of bytes, as Arrow's large binary, put together without touching a row in Python."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MANY_SIZES = 100_000  # largest size for which a table of all costs less than sorting


def prefixed(values: pa.Array, before: Callable[[int], bytes]) -> pa.Array:
    """Large binary [B], each with the bytes before it that its size calls for."""
    return joined(prefixes(values, before), values)


def prefixes(values: pa.Array, before: Callable[[int], bytes]) -> pa.Array:
    """The bytes before each of large binary [B]; before: what they are, given the value's size."""
    sizes, places = distinct(np.diff(parts(values)[0]))
    return pa.array([before(int(size)) for size in sizes], pa.large_binary()).take(pa.array(places))


def distinct(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sizes that occur, ascending, and the place of each among them [B]."""
    if sizes.max(initial=0) > MANY_SIZES:
        return np.unique(sizes, return_inverse=True)
    occurs = np.bincount(sizes) > 0
    return np.flatnonzero(occurs), (occurs.cumsum() - 1)[sizes]


def joined(*columns: pa.Array) -> pa.Array:
    """The values of large binary columns, one after the other in each row [B]."""
    return pc.binary_join_element_wise(*columns, pa.scalar(b"", pa.large_binary()))


def binary(ends: np.ndarray, content: np.ndarray) -> pa.Array:
    """Large binary whose values end at these bytes of the content."""
    buffers = [None, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(np.ascontiguousarray(content))]
    return pa.Array.from_buffers(pa.large_binary(), len(ends) - 1, buffers)


def cut(content: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.Array:
    """Copies of the bytes between ascending places of a content, as large binary [B]."""
    places = np.append(np.stack([starts, ends], axis=1).ravel(), len(content))
    alternating = pa.Array.from_buffers(
        pa.large_binary(), 2 * len(starts), [None, *map(pa.py_buffer, (places, content))]
    )
    return alternating.take(pa.array(np.arange(0, 2 * len(starts), 2)))


def parts(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The ends of large binary values without nulls [B + 1], from 0 on, and their bytes."""
    _, offsets, content = values.buffers()
    ends = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    held = np.frombuffer(content, np.uint8) if content else np.empty(0, np.uint8)
    return ends - ends[0], held[ends[0] : ends[-1]]
