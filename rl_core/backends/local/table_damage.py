"""Damage that a disk does to an event table: found whenever a file changes, mended as far as possible, and logged.

* A damaged commit: the events of its data files, which are still there, are appended again.
* A damaged checkpoint of the log: the one before it is read, and the commits since.
* A damaged or missing data file: its rows are lost, and it is removed from the table. Damage inside a file whose ends
  are whole is found by `repair`; until then, queries that need its pages fail.
* A missing log: nothing says which data files belong to the table, so it is not used until a person restores it.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from banditloop.rl_core.backends.local.database import database
from banditloop.rl_core.backends.local.event_table import EventTable
from banditloop.rl_core.backends.local.files import REPAIRED, sync, write_atomically
from banditloop.rl_core.backends.local.table_files import CHECKPOINT, Files, lost_files, table_files
from banditloop.rl_core.backends.local.table_snapshot import (
    RECEIVED_KEY,
    DataFile,
    file_actions,
    received,
    received_commit,
)
from banditloop.rl_core.backends.local.views import create_view
from banditloop.rl_core.errors import PlatformError
from banditloop.rl_core.events.schema import KEYS, LOGGED_AT, STORED_TABLES

MENDING = "mending"  # in the commit that replaces a damaged one until its events are appended again
PARQUET = b"PAR1"  # the first and last bytes of a whole file
log = logging.getLogger("banditloop.warehouse")


class DamageCheck:
    """Checks the files of a table. Only those that are new or have changed are read."""

    def __init__(self, table: EventTable) -> None:
        self._table, self._path, self._log = table, table.path, table.path / "_delta_log"
        self._known: Files | None = None

    def mend(self) -> Files:
        """Find and mend what is damaged; returns the files. PlatformError: the table cannot be used."""
        files = table_files(self._path)
        if not files or files == self._known:
            return files
        known = self._known or {}
        whole = all(_is_whole(Path(path)) for path, identity in files.items() if known.get(path) != identity)
        if not whole or lost_files(known, files) or (self._known is None and self._lacks_files(files)):
            self._mend_all()
        self._known = files
        return files

    def set_unreadable_aside(self) -> None:
        """Read every data file, and remove those that are damaged inside; their rows are lost, which is logged."""
        if self.mend():
            with self._table.lock():
                self._remove_damaged_files(self._load(), _is_readable)

    def _lacks_files(self, files: Files) -> bool:
        """Whether the log is missing, or some of the data files that it lists."""
        if not any(path.startswith(str(self._log)) for path in files):
            return True
        return any(str(self._path / path) not in files for path in file_actions(self._load())["path"].to_pylist())

    def _mend_all(self) -> None:
        with self._table.lock():
            if not list(self._log.glob("*")):
                count = len(list(self._path.glob("*.parquet")))
                raise PlatformError(
                    f"{self._log}: is missing, but {count} data files are there; restore it, or move them"
                )
            damaged = [path for path in sorted(self._log.glob("*.json")) if not _is_whole(path)]
            for commit in damaged:
                _replace(commit, {MENDING: "true"})
            for checkpoint in (path for path in self._log.glob(f"*{CHECKPOINT}") if not _is_whole(path)):
                log.error("%s: was damaged; the commits before it are read instead", checkpoint, extra=REPAIRED)
                (self._log / "_last_checkpoint").unlink(missing_ok=True)
                checkpoint.rename(checkpoint.with_suffix(".damaged"))
            delta = self._load()
            self._remove_damaged_files(delta, _is_whole)
        if damaged:
            count = self._append_again(delta)
            for commit in damaged:
                text = "%s: was damaged; %d events of damaged commits were appended again"
                log.error(text, commit, count, extra=REPAIRED)
                _replace(commit, {})

    def _load(self) -> DeltaTable:
        try:
            return self._table.load()
        except DeltaError as error:
            raise PlatformError(f"{self._log}: is damaged, restore it: {str(error).splitlines()[0]}") from None

    def _remove_damaged_files(self, delta: DeltaTable, is_sound: Callable[[Path], bool]) -> None:
        actions = file_actions(delta).to_pylist()
        lost = {self._path / a["path"]: a["num_records"] for a in actions if not is_sound(self._path / a["path"])}
        for path, rows in lost.items():
            log.error("%s: is damaged or missing; its %d rows are lost", path, rows)
            if path.exists():
                path.rename(path.with_suffix(".damaged"))
        if lost:
            sync(self._path)
            delta.repair(commit_properties=received_commit(received(delta) - sum(lost.values())))

    def _append_again(self, delta: DeltaTable) -> int:
        """Append the events of data files that no commit knows, unless other files hold them; returns how many."""
        active = [str(self._path / path) for path in file_actions(delta)["path"].to_pylist()]
        paths = [str(path) for path in self._path.glob("*.parquet") if str(path) not in active and _is_whole(path)]
        [keys] = [", ".join(KEYS[table]) for table, name in STORED_TABLES.items() if name == self._path.name]
        schema = pa.schema([field for field in self._table.schema if field.name != LOGGED_AT.name])
        with database(self._path.parent / "spill") as connection:
            create_view(connection, "unknown", [_data_file(path) for path in paths], schema)
            query = f"SELECT {', '.join(schema.names)} FROM unknown"
            if active:
                connection.read_parquet(active).create_view("stored")
                query += f" ANTI JOIN stored USING ({keys})"
            return self._table.append(connection.sql(query).to_arrow_table().cast(schema))


def _data_file(path: str) -> DataFile:
    return DataFile(path, 0, None, None, None, None, None, None)  # type: ignore[arg-type]  # only its path matters


def _is_whole(path: Path) -> bool:
    """Whether a commit, checkpoint or data file looks undamaged.

    A commit is lines of JSON without the mark MENDING; a checkpoint can be read; a data file has its first and last
    bytes.
    """
    try:
        if path.suffix == ".json":
            return not any(MENDING in action.get("commitInfo", {}) for action in _actions(path))
        if path.name.endswith(CHECKPOINT):
            return _is_readable(path)
        with path.open("rb") as file:
            first = file.read(len(PARQUET))
            file.seek(-len(PARQUET), 2)
            return first == file.read() == PARQUET
    except (OSError, ValueError, AttributeError):
        return False


def _is_readable(path: Path) -> bool:
    """Whether every page of a Parquet file can be read."""
    try:
        return all(batch.num_rows for batch in pq.ParquetFile(path).iter_batches())
    except (OSError, pa.ArrowException):
        return False


def _actions(commit: Path) -> list[dict[str, Any]]:
    actions = [orjson.loads(line) for line in commit.read_bytes().splitlines()]
    if not actions:
        raise ValueError(f"{commit}: is empty")
    return actions


def _replace(commit: Path, properties: dict[str, str]) -> None:
    """Replace a commit by one that changes nothing, but keeps the number of events received before."""
    counts = (_received(path) for path in sorted(commit.parent.glob("*.json"), reverse=True) if path < commit)
    before = next((count for count in counts if count), None)
    info = properties | ({RECEIVED_KEY: before} if before else {})
    write_atomically(commit, json.dumps({"commitInfo": info}) + "\n")


def _received(commit: Path) -> str | None:
    try:
        return next((a["commitInfo"].get(RECEIVED_KEY) for a in _actions(commit) if "commitInfo" in a), None)
    except ValueError:
        return None
