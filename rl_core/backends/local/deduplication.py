"""Deduplication of appended events by their keys: an in-memory index of key hashes per data file.

Data files are immutable, so the hashes of a file are read once. They take 8 bytes per row, for the files that can hold
duplicates of the latest events: about two days.
"""

from functools import cached_property

import duckdb
import numpy as np
import pyarrow as pa


class KeyIndex:
    """Index of the keys of one table. `key_fields` are the fields that make up a key."""

    def __init__(self, key_fields: list[str]) -> None:
        self._key_fields = ", ".join(key_fields)
        self._hashes: dict[str, np.ndarray] = {}

    def new_events(self, events: pa.Table, files: list[str]) -> pa.Table:
        """The events whose keys are in none of `files`, the first one of each key. Keeps only these files indexed.

        Hashes select the files that may hold a key; whether one does is decided by the keys themselves.
        """
        self._hashes = {file: self._hashes[file] if file in self._hashes else self._read(file) for file in files}
        numbered = events.append_column("row", pa.array(np.arange(events.num_rows)))
        with self._connection.cursor() as connection:
            connection.register("events", numbered)
            rows = connection.sql(f"SELECT {self._key_fields}, min(row) AS row FROM events GROUP BY ALL")
            hashes = _hashes(rows, self._key_fields)
            if matches := [file for file, stored in self._hashes.items() if _overlap(stored, hashes)]:
                connection.read_parquet(matches).create_view("stored", replace=True)
                rows = connection.sql(f"SELECT row FROM rows ANTI JOIN stored USING ({self._key_fields})")
            return events.take(rows.order("row").to_arrow_table()["row"])

    def _read(self, file: str) -> np.ndarray:
        with self._connection.cursor() as connection:
            return _hashes(connection.read_parquet(file), self._key_fields)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Kept open, because opening one takes longer than the rest of a small append."""
        return duckdb.connect()


def _hashes(rows: duckdb.DuckDBPyRelation, key_fields: str) -> np.ndarray:
    """Sorted 64-bit hashes of the keys."""
    return np.sort(rows.project(f"hash({key_fields}) AS hash").fetchnumpy()["hash"])


def _overlap(stored: np.ndarray, hashes: np.ndarray) -> bool:
    """Whether any of the hashes is in `stored`, which is sorted."""
    return bool((np.searchsorted(stored, hashes, "left") < np.searchsorted(stored, hashes, "right")).any())
