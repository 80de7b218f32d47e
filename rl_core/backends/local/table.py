"""A Delta Lake table of events that keeps every key once, and the time at which it took each row.

A lock file lets one append at a time check keys, take the next `logged_at` and commit. So `logged_at` never goes back:
what a reader sees up to a moment is all there will ever be up to it, and a watermark is a plain time. Every commit
carries how many events came so far: what of these is no row was there before.
"""

import itertools
import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, write_deltalake
from filelock import FileLock

from rl_core.backends.local.keys import Keys
from rl_core.schema import KEYS, LATER_FIELDS, LOGGED_AT, SCHEMAS, TIME

EPOCH = datetime.fromtimestamp(0, UTC)
AT_MOST_APART = timedelta(days=1)  # an event and its double
SMALL_FILES_AT_MOST = 50
COMPACTED_BYTES = (1 << 20, 64 << 20)  # so that what comes in small portions does not rewrite large files
KEPT_FOR_READERS_HOURS = 24
RECEIVED = "received"
log = logging.getLogger("banditloop.warehouse")
LOG = {  # every commit lists the log's files: without an end to them it would take ever longer
    "delta.logRetentionDuration": "interval 1 minutes",
    "delta.deletedFileRetentionDuration": f"interval {KEPT_FOR_READERS_HOURS} hours",
}


class DataFile(NamedTuple):
    """A Parquet file of the table, which never changes."""

    path: str
    rows: int
    earliest: datetime  # timestamp in it
    first_mode: str | None  # in the order of the alphabet
    fields: frozenset[str]  # of those that later schema versions added


class EventTable:
    """The decisions, or the rewards."""

    def __init__(self, root: Path, name: str) -> None:
        self._root, self._name = root, name
        self.stored = pa.schema([f.with_nullable(f.name in LATER_FIELDS) for f in [*SCHEMAS[name], LOGGED_AT]])
        self._keys = Keys(KEYS[name])

    def append(self, events: pa.Table) -> int:
        """Add the events whose keys are not there, and return how many these were."""
        if not events.num_rows:
            return 0
        self._root.mkdir(parents=True, exist_ok=True)
        times = pc.min_max(events["timestamp"]).as_py()
        with FileLock(self._root / f"{self._name}.lock"):
            delta = self._open() or DeltaTable.create(self._root / self._name, self.stored, configuration=LOG)
            files = _files(delta, "timestamp", times["min"] - AT_MOST_APART, times["max"] + AT_MOST_APART)
            new = self._keys.unknown(events, [file.path for file in files])
            logged_at = pa.array([_next_moment(delta)] * new.num_rows, TIME)
            rows = new.append_column(LOGGED_AT, logged_at).cast(self.stored)
            so_far = CommitProperties(custom_metadata={RECEIVED: str(_received(delta) + events.num_rows)})
            write_deltalake(delta, rows, mode="append", schema_mode="merge", commit_properties=so_far)
            try:
                _compact(delta, so_far)
            except Exception as error:  # the events are there; the next append tries again
                log.warning("%s: not compacted: %r", self._name, error)
            return new.num_rows

    def wait(self) -> None:
        """Until the append that is under way, if any, is there: what comes later has a later `logged_at`."""
        self._root.mkdir(parents=True, exist_ok=True)
        with FileLock(self._root / f"{self._name}.lock"):
            pass

    def files(self, column: str, earliest: datetime, latest: datetime) -> list[DataFile]:
        """The data files that may hold rows with `column`, a time, between two moments."""
        delta = self._open()
        return _files(delta, column, earliest, latest) if delta else []

    def counts(self) -> tuple[int, int]:
        """How many events came, and how many of them were there before."""
        delta = self._open()
        return (_received(delta), _received(delta) - _rows(delta)) if delta else (0, 0)

    def _open(self) -> DeltaTable | None:
        path = self._root / self._name
        return DeltaTable(path) if DeltaTable.is_deltatable(str(path)) else None


def _folder(delta: DeltaTable) -> Path:
    return Path(unquote(urlsplit(delta.table_uri).path))


def _actions(delta: DeltaTable) -> pa.Table:
    return pa.table(delta.get_add_actions(flatten=True))


def _files(delta: DeltaTable, column: str, earliest: datetime, latest: datetime) -> list[DataFile]:
    """By the statistics in the table's own log."""
    root = _folder(delta)
    return [
        DataFile(
            str(root / unquote(action["path"])),
            action["num_records"],
            action["min.timestamp"],
            action.get("min.mode"),
            frozenset(field for field in LATER_FIELDS if action.get(f"null_count.{field}") is not None),
        )
        for action in _actions(delta).to_pylist()
        if action[f"min.{column}"] <= latest and action[f"max.{column}"] >= earliest
    ]


def _rows(delta: DeltaTable) -> int:
    return sum(_actions(delta)["num_records"].to_pylist())


def _received(delta: DeltaTable) -> int:
    """As the last commit says; a table of before there was such a count had no doubles.

    From the commit's own file: `history` finds nothing where the path has signs that an address would escape.
    """
    commit = _folder(delta) / "_delta_log" / f"{delta.version():020d}.json"
    actions = map(orjson.loads, commit.read_bytes().splitlines())
    said: dict[str, str] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    return int(said.get(RECEIVED, _rows(delta)))


def _next_moment(delta: DeltaTable) -> datetime:
    """Now, or just after the latest append where the clock went back.

    In whole milliseconds, for that is all that Delta Lake's statistics keep.
    """
    files = _actions(delta) if delta.version() else None
    latest = max((moment for moment in files["max.logged_at"].to_pylist()), default=EPOCH) if files else EPOCH
    now = EPOCH + timedelta(milliseconds=time.time_ns() // 1_000_000)
    return max(now, latest + timedelta(milliseconds=1))


def _compact(delta: DeltaTable, so_far: CommitProperties) -> None:
    """Join small files of like size. A row is rewritten a bounded number of times, for files of a target size stay."""
    for smaller, target in itertools.pairwise((0, *COMPACTED_BYTES)):
        sizes = _actions(delta)["size_bytes"].to_pylist()
        if sum(smaller / 2 <= size < target / 2 for size in sizes) > SMALL_FILES_AT_MOST:
            delta.optimize.compact(target_size=target, commit_properties=so_far)
            delta.vacuum(
                KEPT_FOR_READERS_HOURS, dry_run=False, enforce_retention_duration=False, commit_properties=so_far
            )
