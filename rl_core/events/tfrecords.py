"""TFRecord files, read and written without TensorFlow, which takes seconds to import.

A record is its length, the length's checksum, its bytes and their checksum: a masked CRC-32C, as in
tensorflow/core/lib/io/record_writer.h.
"""

import mmap
import struct
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import google_crc32c
import numpy as np
import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.binary_columns import cut, joined, large_binary, parts, prefixes

LENGTH, CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")
BEFORE, AFTER = LENGTH.size + CHECKSUM.size, CHECKSUM.size  # bytes around those of a record
MASK = 0xA282EAD8


def write_records(path: Path, records: Iterable[bytes]) -> int:
    """Write a file; returns the number of its records."""
    count = 0
    with path.open("wb") as file:
        for record in records:
            file.write(b"".join((_header(len(record)), record, _checksum(record))))
            count += 1
    return count


def framed(records: pa.Array) -> memoryview:
    """The bytes of a file with these records, large binary [B]."""
    checksums = _checksums(records).view(np.uint8).reshape(-1, AFTER)
    return parts(joined(prefixes(_header, records), records, checksums))[1].data


def _header(size: int) -> bytes:
    length = LENGTH.pack(size)
    return length + _checksum(length)


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a file. InvalidInput: it is cut off or damaged."""
    for records in read_columns(path, rows=1_000):
        yield from records.to_pylist()


def read_columns(path: Path, rows: int) -> Iterator[pa.Array]:
    """The records of a file as large binary, up to `rows` at a time.

    Raises:
        InvalidInput: the file is cut off or damaged.
    """
    content = _mapped(path)
    starts, ends = _places(path, content)
    for first in range(0, len(starts), rows):
        of_batch = slice(first, first + rows)
        yield _checked(path, content, starts[of_batch], ends[of_batch])


def _mapped(path: Path) -> bytes | mmap.mmap:
    """The bytes of a file, which are in memory only while they are read."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _places(path: Path, content: bytes | mmap.mmap) -> tuple[np.ndarray, np.ndarray]:
    """The starts and ends of records, as their lengths say. InvalidInput: the lengths do not add up to the file's."""
    starts, place, size, unpack = list[int](), 0, len(content), LENGTH.unpack_from
    while place + BEFORE <= size:
        starts.append(place + BEFORE)
        place += BEFORE + unpack(content, place)[0] + AFTER
    if place != size:
        raise _damaged(path)
    begins = np.array(starts, np.int64)
    return begins, np.append(begins[1:] - BEFORE, size)[: len(begins)] - AFTER


def _checked(path: Path, content: bytes | mmap.mmap, starts: np.ndarray, ends: np.ndarray) -> pa.Array:
    """The records at these places, large binary [B]. InvalidInput: they or their lengths fail their checksums."""
    data = np.frombuffer(content, np.uint8)
    headers, records = cut(data, starts - BEFORE, starts), cut(data, starts, ends)
    checksums = parts(cut(data, ends, ends + AFTER))[1].tobytes()
    if checksums != _checksums(records).tobytes() or not headers.equals(large_binary(prefixes(_header, records))):
        raise _damaged(path)
    return records


def _damaged(path: Path) -> InvalidInput:
    return InvalidInput(f"{path}: is damaged")


def _checksums(records: pa.Array) -> np.ndarray:
    """The checksums of records, large binary [B], uint32 [B]."""
    ends, content = parts(records)
    pieces = map(BytesIO(content.tobytes()).read, np.diff(ends).tolist())  # faster than slices
    return _masked(np.fromiter(map(google_crc32c.value, pieces), np.uint32, len(records)))


def _checksum(content: bytes) -> bytes:
    return _masked(np.array([google_crc32c.value(content)], np.uint32)).tobytes()


def _masked(crcs: np.ndarray) -> np.ndarray:
    return ((crcs >> 15 | crcs << 17) + np.uint32(MASK)).astype("<u4")
