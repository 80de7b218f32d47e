"""Deduplication of appended events by their keys: an index of key hashes per data file.

Data files are immutable, so the hashes of a file are read once. They take 8 bytes per row: in memory for small files,
which compaction keeps few, and in a file that is mapped into memory for large ones. So an append costs some
microseconds for each large file, and memory stays bounded, however long keys are remembered.
"""

import contextlib
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

MAX_ROWS_IN_MEMORY = 50_000  # of a file


class KeyIndex:
    """Index of the keys of one table. `key_fields` are the fields that make up a key; `folder` is for its files."""

    def __init__(self, key_fields: list[str], folder: Path) -> None:
        self._key_fields, self._folder = ", ".join(key_fields), folder
        self._hashes: dict[str, np.ndarray] = {}

    def new_events(self, events: pa.Table, files: Mapping[str, int]) -> pa.Table:
        """The events whose keys are in none of `files`, by path with their numbers of rows; the first of each key.

        Keeps only these files indexed. Hashes select the files that may hold a key; whether one does is decided by the
        keys themselves.
        """
        self._index(files)
        numbered = events.append_column("row", pa.array(np.arange(events.num_rows)))
        with self._connection.cursor() as connection:
            connection.register("events", numbered)
            rows = connection.sql(f"SELECT {self._key_fields}, min(row) AS row FROM events GROUP BY ALL")
            hashes = _hashes(rows, self._key_fields)
            if matches := [file for file, stored in self._hashes.items() if _overlap(stored, hashes)]:
                connection.read_parquet(matches).create_view("stored", replace=True)
                rows = connection.sql(f"SELECT row FROM rows ANTI JOIN stored USING ({self._key_fields})")
            return events.take(rows.order("row").to_arrow_table()["row"])

    def _index(self, files: Mapping[str, int]) -> None:
        """Index exactly these files."""
        new = files.keys() - self._hashes.keys()
        self._hashes = {file: hashes for file, hashes in self._hashes.items() if file in files}
        self._hashes |= {file: self._stored(file, files[file]) for file in new}
        if any(files[file] > MAX_ROWS_IN_MEMORY for file in new):
            for path in set(self._folder.glob("*.npy")) - {self._path(file) for file in files}:
                path.unlink(missing_ok=True)  # its data file was compacted, or is too old

    def _stored(self, file: str, rows: int) -> np.ndarray:
        """The hashes of a data file: those of a large one in the index's own file, which is written if need be."""
        if rows <= MAX_ROWS_IN_MEMORY:
            return self._read(file)
        path = self._path(file)
        with contextlib.suppress(OSError, ValueError):  # not written yet, or damaged
            stored = np.load(path, mmap_mode="r")
            if stored.shape == (rows,) and stored.dtype == np.uint64:
                return stored
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".new")
        with partial.open("wb") as output:
            np.save(output, self._read(file))
            output.flush()
            os.fsync(output.fileno())
        return np.load(partial.replace(path), mmap_mode="r")

    def _path(self, file: str) -> Path:
        return self._folder / f"{Path(file).stem}.npy"

    def _read(self, file: str) -> np.ndarray:
        with self._connection.cursor() as connection:
            return _hashes(connection.read_parquet(file), self._key_fields)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Kept open, because opening one takes longer than the rest of a small append."""
        return duckdb.connect()


def _hashes(rows: duckdb.DuckDBPyRelation, key_fields: str) -> np.ndarray:
    """Sorted 64-bit hashes of the keys, by MD5: they are stored, and DuckDB's own hash may change with its version."""
    key = f"md5_number_lower(concat_ws(chr(0), {key_fields}))"
    return np.sort(rows.project(f"{key} AS hash").fetchnumpy()["hash"])


def _overlap(stored: np.ndarray, hashes: np.ndarray) -> bool:
    """Whether any of the hashes is in `stored`, which is sorted."""
    found = np.searchsorted(stored, hashes)
    found[found == len(stored)] = 0
    return bool(len(stored)) and bool((stored[found] == hashes).any())
