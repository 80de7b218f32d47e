"""Columns of byte strings, joined without touching a row in Python.

A column is Arrow's large binary [B] or, where all values have one size, an array of bytes [B, size]: without offsets to
look up, it is joined as fast as memory is copied.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MANY_SIZES = 100_000  # up to this size, counting all sizes costs less than sorting
Column: TypeAlias = pa.Array | np.ndarray


def prefixed(before: Callable[[int], bytes], *columns: Column) -> Column:
    """The columns joined, each row after a prefix that depends on the row's size."""
    return joined(prefixes(before, *columns), *columns)


def prefixes(before: Callable[[int], bytes], *columns: Column) -> Column:
    """The prefix of each row [B] of the columns joined; before: the prefix, given the row's size."""
    sizes = sum(map(_sizes, columns))
    if isinstance(sizes, int):
        content = np.frombuffer(before(sizes), np.uint8)
        return np.broadcast_to(content, (len(columns[0]), len(content)))
    distinct_sizes, places = distinct(sizes)
    return pa.array([before(int(size)) for size in distinct_sizes], pa.large_binary()).take(pa.array(places))


def _sizes(values: Column) -> np.ndarray | int:
    """The size of each value [B], or the one that all have."""
    return values.shape[1] if isinstance(values, np.ndarray) else np.diff(parts(values)[0])


def distinct(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sizes that occur, ascending, and the place of each among them [B]."""
    if sizes.max(initial=0) > MANY_SIZES:
        return np.unique(sizes, return_inverse=True)
    occurs = np.bincount(sizes) > 0
    return np.flatnonzero(occurs), (occurs.cumsum() - 1)[sizes]


def joined(*columns: Column) -> Column:
    """The values of the columns, one after the other in each row [B]."""
    merged = list(_merged(columns))
    if len(merged) == 1:
        return merged[0]
    return pc.binary_join_element_wise(*map(large_binary, merged), pa.scalar(b"", pa.large_binary()))


def _merged(columns: tuple[Column, ...]) -> Iterator[Column]:
    """The columns, where neighbours that are arrays are merged into one."""
    for kind, run in groupby(columns, type):
        neighbours = list(run)
        yield from [_side_by_side(neighbours)] if kind is np.ndarray else neighbours


def _side_by_side(columns: list[np.ndarray]) -> np.ndarray:
    """Arrays merged into one. All rows start as copies of the first row; then the values that vary are written."""
    merged = np.tile(np.concatenate([column[:1] for column in columns], axis=1), (len(columns[0]), 1))
    ends = np.cumsum([column.shape[1] for column in columns])
    for column, end in zip(columns, ends, strict=True):
        if column.shape[1] and column.strides[0]:  # with a stride of 0, all rows are the same
            _whole(merged[:, end - column.shape[1] : end])[:] = _whole(column)
    return merged


def _whole(column: np.ndarray) -> np.ndarray:
    """An array with one item for each value, which is copied as a whole, not byte by byte."""
    return column.view(f"V{column.shape[1]}")


def from_parts(ends: np.ndarray, content: np.ndarray) -> Column:
    """The column of the values between these offsets into the content; ends: [B + 1], from 0 on."""
    rows, size = len(ends) - 1, ends[1] if len(ends) > 1 else 0
    if rows and (np.diff(ends) == size).all():
        return content.reshape(rows, size)
    buffers = [None, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(np.ascontiguousarray(content))]
    return pa.Array.from_buffers(pa.large_binary(), rows, buffers)


def large_binary(values: Column) -> pa.Array:
    """A column as large binary [B]."""
    if not isinstance(values, np.ndarray):
        return values
    ends, content = parts(values)
    return pa.Array.from_buffers(pa.large_binary(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(content)])


def cut(content: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.Array:
    """Copies of the bytes from each start to its end, as large binary [B]; the places ascend."""
    places = np.append(np.stack([starts, ends], axis=1).ravel(), len(content))
    alternating = pa.Array.from_buffers(
        pa.large_binary(), 2 * len(starts), [None, *map(pa.py_buffer, (places, content))]
    )
    return alternating.take(pa.array(np.arange(0, 2 * len(starts), 2)))


def parts(values: Column) -> tuple[np.ndarray, np.ndarray]:
    """The offsets of values without nulls [B + 1], from 0 on, and their bytes."""
    if isinstance(values, np.ndarray):
        return values.shape[1] * np.arange(len(values) + 1), np.ascontiguousarray(values).ravel()
    _, offsets, content = values.buffers()
    ends = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(content, np.uint8) if content else np.empty(0, np.uint8)
    return ends - ends[0], data[ends[0] : ends[-1]]
