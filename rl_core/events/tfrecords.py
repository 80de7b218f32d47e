"""TFRecord files, read and written without TensorFlow, which takes seconds to import.

A record is its length, the length's checksum, its bytes and their checksum: a masked CRC-32C, as in
tensorflow/core/lib/io/record_writer.h.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import google_crc32c
import numpy as np
import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.binary_columns import binary, joined, parts, prefixed

LENGTH, CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")
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
    crcs = np.fromiter(map(google_crc32c.value, records.to_pylist()), np.uint32, len(records))
    masked = (crcs >> 15 | crcs << 17) + np.uint32(MASK)
    checksums = binary(CHECKSUM.size * np.arange(len(records) + 1), masked.astype("<u4").view(np.uint8))
    return parts(joined(prefixed(records, _header), checksums))[1].data


def _header(size: int) -> bytes:
    length = LENGTH.pack(size)
    return length + _checksum(length)


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a file.

    Raises:
        InvalidInput: the file is cut off or damaged.
    """
    with path.open("rb") as file:
        while length := file.read(LENGTH.size):
            if file.read(CHECKSUM.size) != _checksum(length):
                raise InvalidInput(f"{path}: is damaged")
            record = file.read(LENGTH.unpack(length)[0])
            if file.read(CHECKSUM.size) != _checksum(record):
                raise InvalidInput(f"{path}: is damaged")
            yield record


def _checksum(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return CHECKSUM.pack(((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF)
