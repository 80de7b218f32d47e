"""Which events are new: their keys are looked up in memory first, by hash, and in the data files that may hold them.

A data file never changes, so the hashes of its keys are read once: 8 bytes a row, of the files of about two days.
"""

from functools import cached_property

import duckdb
import numpy as np
import pyarrow as pa


class Keys:
    """The keys of one table, as one process remembers them."""

    def __init__(self, names: list[str]) -> None:
        self._names = ", ".join(names)
        self._hashes: dict[str, np.ndarray] = {}

    def unknown(self, events: pa.Table, files: list[str]) -> pa.Table:
        """The events, each key once, that none of the table's files holds. Remembers these files and no others."""
        self._hashes = {file: self._hashes[file] if file in self._hashes else self._read(file) for file in files}
        numbered = events.append_column("row", pa.array(np.arange(events.num_rows)))
        with self._connection.cursor() as connection:
            connection.register("events", numbered)
            rows = connection.sql(f"SELECT {self._names}, min(row) AS row FROM events GROUP BY ALL")
            hashes = _hashes(rows, self._names)
            if holders := [file for file, known in self._hashes.items() if _overlap(known, hashes)]:
                connection.read_parquet(holders).create_view("known", replace=True)
                rows = connection.sql(f"SELECT row FROM rows ANTI JOIN known USING ({self._names})")
            return events.take(rows.order("row").to_arrow_table()["row"])

    def _read(self, file: str) -> np.ndarray:
        with self._connection.cursor() as connection:
            return _hashes(connection.read_parquet(file), self._names)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Kept, because opening one takes longer than a small append's other work."""
        return duckdb.connect()


def _hashes(rows: duckdb.DuckDBPyRelation, names: str) -> np.ndarray:
    return np.sort(rows.project(f"hash({names}) AS hash").fetchnumpy()["hash"])


def _overlap(known: np.ndarray, hashes: np.ndarray) -> bool:
    return bool((np.searchsorted(known, hashes, "left") < np.searchsorted(known, hashes, "right")).any())
