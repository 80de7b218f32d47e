"""Hashes of the keys in each data file of a table, which say which files may hold a key.

Data files are immutable, so the hashes of a file are read once. They take 8 bytes per row: in memory for small files,
which compaction keeps few, and in a file that is mapped into memory for others.
"""

import contextlib
import mmap
import threading
from collections.abc import Mapping
from pathlib import Path

import duckdb
import numpy as np

from banditloop.rl_core.backends.local.files import atomic_file, remove_unfinished

ENDING = ".hashes"  # of files of sorted 64-bit integers


class KeyHashes:
    """The sorted 64-bit hashes of a table's keys, by data file.

    key_fields: the fields that make up a key; folder: for the files of hashes; kept_rows: data files with as many rows
    or more have one. Threads may share it, and processes the folder.
    """

    def __init__(self, key_fields: list[str], folder: Path, kept_rows: int) -> None:
        self.fields, self._folder, self._kept_rows = ", ".join(key_fields), folder, kept_rows
        self._hashes: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()

    def index(self, connection: duckdb.DuckDBPyConnection, files: Mapping[str, int]) -> dict[str, np.ndarray]:
        """The hashes of these files, which are given by path with their numbers of rows; others are forgotten."""
        with self._lock:
            new = files.keys() - self._hashes.keys()
            self._hashes = {file: stored for file, stored in self._hashes.items() if file in files}
            self._hashes |= {file: self._stored(connection, file, files[file]) for file in new}
            if any(files[file] >= self._kept_rows for file in new):
                self._remove_old(Path(next(iter(new))).parent)
            return self._hashes

    def files_with(
        self, connection: duckdb.DuckDBPyConnection, files: Mapping[str, int], keys: np.ndarray
    ) -> list[str]:
        """Those of the files that may hold a key with one of these hashes, which are sorted."""
        return [file for file, stored in self.index(connection, files).items() if _overlap(stored, keys)]

    def _stored(self, connection: duckdb.DuckDBPyConnection, file: str, rows: int) -> np.ndarray:
        """The hashes of a data file: mapped from a file of hashes, which is written if missing, unless it is small."""
        if rows < self._kept_rows:
            return hashes(connection.read_parquet(file), self.fields)
        path = self._folder / f"{Path(file).stem}{ENDING}"
        with contextlib.suppress(OSError, ValueError):  # not written yet, or cut off
            stored = _mapped(path)
            if len(stored) == rows:
                return stored
        self._folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as output:
            output.write(hashes(connection.read_parquet(file), self.fields).tobytes())
        return _mapped(path)

    def _remove_old(self, table: Path) -> None:
        """Remove the hashes of data files that are gone, since they were compacted, and what crashes have left."""
        remove_unfinished(self._folder)
        known = {Path(file).stem for file in self._hashes}
        for path in self._folder.glob(f"*{ENDING}"):
            if path.stem not in known and not (table / f"{path.stem}.parquet").exists():
                path.unlink(missing_ok=True)


def hashes(rows: duckdb.DuckDBPyRelation, key_fields: str) -> np.ndarray:
    """Sorted hashes of the keys of some rows, by MD5: they are stored, and DuckDB's own hash may change."""
    return np.sort(rows.project(f"md5_number_lower(concat_ws(chr(0), {key_fields})) AS hash").fetchnumpy()["hash"])


def _mapped(path: Path) -> np.ndarray:
    """The integers of a file, mapped into memory."""
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint64)


def _overlap(stored: np.ndarray, keys: np.ndarray) -> bool:
    """Whether any of the keys is in `stored`, which is sorted."""
    positions = np.searchsorted(stored, keys)
    positions[positions == len(stored)] = 0
    return bool(len(stored)) and bool((stored[positions] == keys).any())
