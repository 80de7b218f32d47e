"""Ids of the rows of a log that has none: the source's name, a digest of the row, and the number of equal rows before.

Equal rows, as of two visits alike, get different ids within one import. A second import of the same source gives the
same ids, and so adds nothing. Equal rows in two files that are imported one after the other look like one file imported
twice: each file needs a source name of its own.
"""

import hashlib
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

DIGEST = 12  # bytes


class Occurrences:
    """How often each content has occurred so far, in 8 bytes for each row."""

    def __init__(self) -> None:
        self._seen = np.zeros(0, np.uint64)  # sorted

    def count(self, hashes: np.ndarray) -> np.ndarray:
        """For each of these rows [B], the number of equal rows before it, in this batch and earlier ones [B]."""
        earlier = np.searchsorted(self._seen, hashes, "right") - np.searchsorted(self._seen, hashes, "left")
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        within = np.empty(len(hashes), np.int64)
        within[order] = np.arange(len(hashes)) - np.searchsorted(ordered, ordered, "left")
        self._seen = np.sort(np.concatenate([self._seen, hashes]), kind="stable")
        return earlier + within


def content_ids(source: str, table: pa.Table, occurrences: Occurrences) -> list[str]:
    """The ids of a batch's rows; the rows are added to the occurrences."""
    columns: list[list[Any]] = [table[name].to_pylist() for name in sorted(table.column_names)]
    rows = zip(*columns, strict=True)
    digests = [hashlib.blake2b(_bytes(row), digest_size=DIGEST).digest() for row in rows]
    hashes = np.frombuffer(b"".join(digest[:8] for digest in digests), np.uint64)
    numbers = occurrences.count(hashes).tolist()
    return [f"{source}-{digest.hex()}-{number}" for digest, number in zip(digests, numbers, strict=True)]


def _bytes(row: tuple[Any, ...]) -> bytes:
    return orjson.dumps(row, default=str, option=orjson.OPT_PASSTHROUGH_DATETIME)
