"""A Delta Lake table of events, deduplicated by key; every row has the time `logged_at` of its append.

A lock file serialises the appends: each checks keys, takes the next `logged_at` and commits. So `logged_at` increases
with every append, rows up to a past `logged_at` never change, and a plain time serves as a watermark. The metadata of
every commit holds the number of events received so far; this number minus the rows is the number of duplicates.
"""

import itertools
import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, write_deltalake
from filelock import FileLock

from banditloop.rl_core.backends.local.deduplication import KeyIndex
from banditloop.rl_core.backends.local.table_files import CHECKPOINT
from banditloop.rl_core.backends.local.table_snapshot import (
    NO_TABLE,
    Snapshot,
    file_actions,
    received,
    received_commit,
    snapshot,
)
from banditloop.rl_core.backends.stored_features import merged
from banditloop.rl_core.events.schema import KEYS, LOGGED_AT, MAX_LEAD, STORED_TABLES, TIME, event_schema
from banditloop.rl_core.ports.warehouse import AHEAD, MAX_SKEW
from banditloop.rl_core.settings.task import Task

EPOCH = datetime.fromtimestamp(0, UTC)
MAX_SMALL_FILES = 50
COMPACTION_TARGET_BYTES = (1 << 20, 64 << 20)  # two levels, so that small appends do not rewrite large files
RETENTION_HOURS = 24  # of compacted files, for readers that have opened them
log = logging.getLogger("banditloop.warehouse")
LOG_SETTINGS = {
    "delta.checkpointInterval": "10",  # commits: every append reads all commits since the last checkpoint
    "delta.enableExpiredLogCleanup": "false",  # it would leave one checkpoint, which a disk may damage
    "delta.deletedFileRetentionDuration": f"interval {RETENTION_HOURS} hours",
}
LOG_SECONDS = 60  # for which a reader may need files that it has listed in the log


class EventTable:
    """The table `decisions` or `rewards` of a task, under the name of its schema version.

    A duplicate is found if its timestamp and that of the stored event are at most `horizon` apart.
    """

    def __init__(self, root: Path, table: str, task: Task, horizon: timedelta = MAX_SKEW) -> None:
        self._root, self._name, self._horizon = root, STORED_TABLES[table], horizon
        self.schema = pa.schema([*event_schema(table, task), LOGGED_AT])
        self._read: DeltaTable | None = None
        self._key_index = KeyIndex(KEYS[table], root / "keys" / self._name, root / "spill")

    @property
    def path(self) -> Path:
        """The folder of the table."""
        return self._root / self._name

    def append(self, events: pa.Table) -> int:
        """Add the events with new keys; returns how many these are."""
        if not events.num_rows:
            return 0
        self._root.mkdir(parents=True, exist_ok=True)
        times = pc.min_max(events["timestamp"]).as_py()
        with self.lock():
            delta = self._delta_table() or DeltaTable.create(
                self._root / self._name, self.schema, configuration=LOG_SETTINGS
            )
            files = snapshot(delta).dated(times["min"] - self._horizon, times["max"] + self._horizon)
            new = self._key_index.new_events(events, {file.path: file.rows for file in files})
            logged_at = pa.array([self._next_logged_at(delta)] * new.num_rows, TIME)
            rows = new.append_column(LOGGED_AT, logged_at).cast(self._stored(delta))
            commit = received_commit(received(delta) + events.num_rows)
            write_deltalake(delta, rows, mode="append", schema_mode="merge", commit_properties=commit)
            try:
                _compact(delta, commit)
                _expire(self.path / "_delta_log")
            except Exception as error:  # the events are committed; the next append retries
                log.warning("%s: not compacted: %r", self._name, error)
            return new.num_rows

    def repair(self) -> int:
        """Set `logged_at` to the present where it leads the clock by more than MAX_LEAD; returns in how many rows."""
        if not self._root.exists():
            return 0
        with self.lock():
            delta = self._delta_table()
            if delta is None:
                return 0
            result = delta.update(
                {LOGGED_AT.name: _sql(self._next_logged_at(delta))},
                predicate=f"{LOGGED_AT.name} > {_sql(_now() + MAX_LEAD)}",
                commit_properties=received_commit(received(delta)),
            )
            return int(result["num_updated_rows"])

    def _next_logged_at(self, delta: DeltaTable) -> datetime:
        """The current time, or 1 ms after the latest append if that leads it by at most MAX_LEAD (the clock went back).

        Rows that lead by more were stored while the clock was ahead. They do not count, or they would hide all later
        rows until their time has come.
        """
        now, times = _now(), file_actions(delta)["max.logged_at"].to_pylist() if delta.version() else []
        latest = max((time for time in times if time <= now + MAX_LEAD), default=EPOCH)
        if (ahead := max(times, default=EPOCH)) > now + MAX_LEAD:
            log.error(AHEAD, self._name, ahead)
        return max(now, latest + timedelta(milliseconds=1))

    def wait(self) -> None:
        """Wait until an append in progress, if any, has committed; later ones have a later `logged_at`."""
        if self._root.exists():  # reading creates nothing
            with self.lock():
                pass

    def lock(self) -> FileLock:
        """The lock of the table's appends."""
        return FileLock(self._root / f"{self._name}.lock")

    def snapshot(self, grown: bool) -> Snapshot:
        """The current snapshot. grown: since the last one, files were added to the folder, none changed or removed."""
        if grown and self._read is not None:
            self._read.update_incremental()
            self._stored(self._read)
        else:
            self._read = self._delta_table()
        return snapshot(self._read) if self._read is not None else NO_TABLE

    def load(self) -> DeltaTable:
        """The table as it is now, from which the next snapshot starts. DeltaError: its log cannot be read."""
        self._read = DeltaTable(self.path)
        return self._read

    def _delta_table(self) -> DeltaTable | None:
        if not DeltaTable.is_deltatable(str(self.path)):
            return None
        delta = DeltaTable(self.path)
        self._stored(delta)  # raises where a feature is of another kind than the task says
        return delta

    def _stored(self, delta: DeltaTable) -> pa.Schema:
        """The schema of new rows: the task's, with the features that the table has besides."""
        return merged(pa.schema(delta.schema()), self.schema)


def _sql(time: datetime) -> str:
    return f"arrow_cast('{time.isoformat()}', 'Timestamp(Microsecond, Some(\"UTC\"))')"


def _now() -> datetime:
    """The current time in whole milliseconds, the resolution of Delta Lake's statistics."""
    return EPOCH + timedelta(milliseconds=time.time_ns() // 1_000_000)


def _compact(delta: DeltaTable, commit: CommitProperties) -> None:
    """Merge small files of similar size. Full-size files stay, so a row is rewritten a bounded number of times."""
    for smaller, target in itertools.pairwise((0, *COMPACTION_TARGET_BYTES)):
        sizes = file_actions(delta)["size_bytes"].to_pylist()
        if sum(smaller / 2 <= size < target / 2 for size in sizes) > MAX_SMALL_FILES:
            delta.optimize.compact(target_size=target, commit_properties=commit)
            delta.vacuum(RETENTION_HOURS, dry_run=False, enforce_retention_duration=False, commit_properties=commit)


def _expire(delta_log: Path) -> None:
    """Remove the log's files before a checkpoint that is old enough and not the last: every append lists the log.

    They go together, once per checkpoint, since every process checks the table for damage when some are gone.
    """
    earlier = sorted(delta_log.glob(f"*{CHECKPOINT}"))[:-1]
    old = [path.name for path in earlier if path.stat().st_mtime < time.time() - LOG_SECONDS]
    for path in delta_log.glob("[0-9]*") if old else ():
        if path.name.partition(".")[0] < old[-1].partition(".")[0]:
            path.unlink()
