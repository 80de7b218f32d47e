"""Deduplication of appended events by their keys.

An append costs some microseconds for each large file, and memory stays bounded, however long keys are remembered.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from banditloop.rl_core.backends.local.database import database
from banditloop.rl_core.backends.local.key_hashes import KeyHashes, hashes
from banditloop.rl_core.backends.local.query_errors import explained

KEPT_ROWS = 50_000  # files with as many rows or more have their hashes on disk


class KeyIndex:
    """Index of the keys of one table.

    key_fields: the fields that make up a key. folder: for its files. spill: for what queries cannot keep in memory.
    """

    def __init__(self, key_fields: list[str], folder: Path, spill: Path) -> None:
        self._hashes, self._spill = KeyHashes(key_fields, folder, KEPT_ROWS), spill

    def new_events(self, events: pa.Table, files: Mapping[str, int]) -> pa.Table:
        """The events whose keys are in none of `files`, by path with their numbers of rows; the first of each key.

        Keeps only these files indexed. Hashes select the files that may hold a key; whether one does is decided by the
        keys themselves.

        Raises:
            PlatformError: one of these files is damaged inside.
        """
        numbered = events.append_column("row", pa.array(np.arange(events.num_rows)))
        with explained(), self._connection.cursor() as connection:
            connection.register("events", numbered)
            rows = connection.sql(f"SELECT {self._hashes.fields}, min(row) AS row FROM events GROUP BY ALL")
            if matches := self._hashes.files_with(connection, files, hashes(rows, self._hashes.fields)):
                connection.read_parquet(matches).create_view("stored", replace=True)
                rows = connection.sql(f"SELECT row FROM rows ANTI JOIN stored USING ({self._hashes.fields})")
            return events.take(rows.order("row").to_arrow_table()["row"])

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Kept open, because opening one takes longer than the rest of a small append."""
        return database(self._spill)
