"""TFRecord files, read and written without TensorFlow, which takes seconds to import.

A record is its length, the length's checksum, its bytes and their checksum: a masked CRC-32C, as in
tensorflow/core/lib/io/record_writer.h.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import google_crc32c

from banditloop.rl_core.errors import InvalidInput

LENGTH, CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")


def write_records(path: Path, records: Iterable[bytes]) -> int:
    """Write a file; returns the number of its records."""
    count = 0
    with path.open("wb") as file:
        for record in records:
            length = LENGTH.pack(len(record))
            file.write(b"".join((length, _checksum(length), record, _checksum(record))))
            count += 1
    return count


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
    return CHECKSUM.pack(((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
