"""Examples read by column where they are laid out as example_columns.py writes them: no row is touched in Python.

Protocol buffers may encode the same message in another order or form. Examples have the encoder's order and form if all
their bytes that are no values equal what the encoder writes before values of their sizes. All others need a general
parser.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from banditloop.rl_core.events.binary_columns import cut, distinct, parts
from banditloop.rl_core.events.example_columns import VARINT_BYTES, before_bytes, before_values

MAX_LENGTH_BYTES = 5  # of a varint that is a length: a message has up to 2 GiB


class Ragged(NamedTuple):
    """The values of a feature of B examples: row i has values[splits[i] : splits[i + 1]]. Bytes are large binary."""

    values: np.ndarray | pa.Array
    splits: np.ndarray


class OtherLayout(Exception):
    """Examples are not laid out as the encoder writes them."""


def columns(records: pa.Array, kinds: Mapping[str, str]) -> dict[str, Ragged]:
    """The features of Examples, large binary [B]; kinds: the kind of list of each. OtherLayout: see above."""
    edges, content = parts(records)
    features = dict[str, Ragged]()
    place, record_ends = _enclosed(content, edges[:-1], edges[1:], before_bytes)
    _require(record_ends == edges[1:])
    for name, kind in kinds.items():
        starts, place = _enclosed(content, place, edges[1:], partial(before_values, name, kind))
        features[name] = READERS[kind](content, starts, place)
    _require(place == edges[1:])
    return features


def _enclosed(
    content: np.ndarray, place: np.ndarray, limits: np.ndarray, before: Callable[[int], bytes]
) -> tuple[np.ndarray, np.ndarray]:
    """The starts and ends [B] of values, whose prefixes of a tag, a length and more begin at these places [B].

    before: the prefix of values, given the number of their bytes. Values end at the limits or earlier.
    """
    length, after = _lengths(content, place + 1)
    ends = after + length
    _require(ends <= limits)
    totals, which = distinct(ends - place)
    sizes = [_size(int(total), before) for total in totals]
    starts = ends - np.array(sizes, np.int64)[which]
    expected = pa.array([before(size) for size in sizes], pa.large_binary()).take(pa.array(which))
    if not cut(content, place, starts).equals(expected):
        raise OtherLayout
    return starts, ends


def _size(total: int, before: Callable[[int], bytes]) -> int:
    """The number of bytes of values that have `total` bytes together with their prefix, as `before` gives it."""
    least = max(total - len(before(total)), 0)
    for size in range(least, total):
        together = size + len(before(size))
        if together >= total:
            break
    if not total or together != total:
        raise OtherLayout
    return size


def _lengths(content: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The varints at these places [B], and the places after them [B]."""
    values, goes_on = np.zeros(len(place), np.int64), np.ones(len(place), bool)
    for group in range(MAX_LENGTH_BYTES):
        _require(place[goes_on] < len(content))
        byte = np.where(goes_on, content[np.minimum(place, len(content) - 1)], 0).astype(np.int64)
        values |= (byte & 0x7F) << 7 * group
        place = place + goes_on
        goes_on = byte > 0x7F
        if not goes_on.any():
            return values, place
    raise OtherLayout


def _floats(content: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> Ragged:
    splits, packed = parts(cut(content, starts, ends))
    _require(splits % 4 == 0)
    return Ragged(packed.view("<f4"), splits // 4)


def _integers(content: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> Ragged:
    splits, packed = parts(cut(content, starts, ends))
    is_last = packed < 0x80
    _require(is_last[splits[1:][np.diff(splits) > 0] - 1])
    firsts = np.flatnonzero(np.append(True, is_last[:-1])[: len(packed)])
    group = np.arange(len(packed)) - firsts[is_last.cumsum() - is_last]
    _require(group < VARINT_BYTES)
    bits = (packed & 0x7F).astype(np.uint64) << (7 * group).astype(np.uint64)
    values = np.add.reduceat(bits, firsts) if len(firsts) else bits
    return Ragged(values.view(np.int64), np.append(0, is_last.cumsum())[splits])


def _byte_strings(content: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> Ragged:
    place, rows = starts.copy(), np.flatnonzero(starts < ends)
    items = [(rows[:0], rows[:0], rows[:0])]  # row, start, end: first of every row's first item, then of its second
    while len(rows):
        first, place[rows] = _enclosed(content, place[rows], ends[rows], before_bytes)
        items.append((rows, first, place[rows]))
        rows = rows[place[rows] < ends[rows]]
    row, first, last = map(np.concatenate, zip(*items, strict=True))
    order = np.argsort(row, kind="stable")
    splits = np.append(0, np.bincount(row, minlength=len(starts)).cumsum())
    return Ragged(cut(content, first[order], last[order]), splits)


def _require(holds: np.ndarray) -> None:
    if not holds.all():
        raise OtherLayout


READERS = {"bytes_list": _byte_strings, "float_list": _floats, "int64_list": _integers}
