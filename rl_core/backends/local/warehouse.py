"""The warehouse as two Delta Lake tables, queried out of core by DuckDB.

A lock file lets one append at a time check keys, take the next `logged_at` and commit. So `logged_at` never goes back:
what a reader sees up to a moment is all there will ever be up to it, and a watermark is a plain time.
"""

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from filelock import FileLock

from rl_core.backends.local.keys import Keys
from rl_core.config import RewardSection
from rl_core.manifest import Window
from rl_core.schema import INTERACTION, KEYS, LOGGED_AT, SCHEMAS, TIME
from rl_core.split import DIGITS, Part, bound

BATCH_ROWS = 65_536
SLICE_ROWS = 4_000_000  # decisions that meet their rewards at a time: their keys fit in memory, so nothing spills
EPOCH = datetime.fromtimestamp(0, UTC)
MICROSECOND = timedelta(microseconds=1)
FOR_EVER = datetime.max.replace(tzinfo=UTC)
AT_MOST_APART = timedelta(days=1)  # an event and its double; a reward and the later clock of its decision
HASH = f"substr(sha256(d.event_id), 1, {DIGITS})"
PARTS = {None: "", "training": f"AND {HASH} >= $held_out", "held_out": f"AND {HASH} < $held_out"}
NUMBER = "file_index::BIGINT << 32 | file_row_number"  # of a row: to sort and join by it is cheaper than by event id
ORDERS = {"first": "r.timestamp, r.source_id", "last": "r.timestamp DESC, r.source_id DESC"}
AGGREGATES = {"sum": "sum", "mean": "avg", "max": "max", "min": "min"}
SMALL_FILES_AT_MOST = 50
COMPACTED_BYTES = (1 << 20, 64 << 20)  # so that what comes in small portions does not rewrite large files
KEPT_FOR_READERS_HOURS = 24
LOG = {  # every commit lists the log's files: without an end to them it would take ever longer
    "delta.logRetentionDuration": "interval 1 minutes",
    "delta.deletedFileRetentionDuration": f"interval {KEPT_FOR_READERS_HOURS} hours",
}


class _File(NamedTuple):
    path: str
    rows: int
    earliest: datetime  # timestamp in it


class LocalWarehouse:
    """See rl_core.backends.Warehouse."""

    def __init__(self, root: Path, reward: RewardSection, held_out: float) -> None:
        self._root = root
        self._reward = reward
        self._held_out = bound(held_out)
        self._keys = {table: Keys(key) for table, key in KEYS.items()}

    def append(self, table: str, events: pa.Table) -> int:
        if not events.num_rows:
            return 0
        self._root.mkdir(parents=True, exist_ok=True)
        times = pc.min_max(events["timestamp"]).as_py()
        with FileLock(self._root / f"{table}.lock"):
            delta = self._create(table)
            files = _files(delta, "timestamp", times["min"] - AT_MOST_APART, times["max"] + AT_MOST_APART)
            new = self._keys[table].unknown(events, [file.path for file in files])
            if new.num_rows:
                logged_at = pa.array([_next_moment(delta)] * new.num_rows, TIME)
                write_deltalake(delta, new.append_column(LOGGED_AT, logged_at), mode="append")
                _compact(delta)
            return new.num_rows

    def window(self, since: datetime | None) -> Window:
        since_or_start = since or EPOCH
        decided = {"since": since_or_start}
        unrewarded = "AND d.number NOT IN (SELECT number FROM rewarded)" if self._first_counts else ""
        now = datetime.now(UTC)
        open_since = max(since_or_start, now - timedelta(seconds=self._reward.window_seconds))
        with self._connection(self._decisions(since_or_start)) as connection:
            still_open = connection.execute(
                f"""WITH {self._rewarded} SELECT min(logged_at) - INTERVAL 1 MICROSECOND FROM decisions d
                WHERE logged_at > $since AND logged_at + to_microseconds($window) > $now AND mode <> 'simulated'
                {unrewarded}""",
                decided | {"now": now} | self._reward_parameters(open_since),
            ).fetchall()[0][0]
            until, rows = connection.execute(
                "SELECT max(logged_at), count(*) FROM decisions WHERE logged_at > $since AND logged_at <= $until",
                decided | {"until": still_open or FOR_EVER},
            ).fetchall()[0]
        return Window(since=since, until=until or since_or_start, interactions=rows)

    def interactions(self, window: Window, part: Part | None = None) -> Iterator[pa.RecordBatch]:
        query = f"""WITH {self._rewarded}
            SELECT d.* EXCLUDE (logged_at, number), coalesce(rewarded.reward, $default) AS reward
            FROM decisions d LEFT JOIN rewarded USING (number)
            WHERE d.logged_at > $since AND d.logged_at <= $until {PARTS[part]}"""
        parameters: dict[str, Any] = {"held_out": self._held_out} if part else {}
        parameters |= {"since": window.since or EPOCH, "until": window.until, "default": self._reward.default}
        for files in _slices(self._decisions(window.since or EPOCH, window.until)):
            with self._connection(files) as connection:
                relation = connection.sql(query, params=parameters | self._reward_parameters())
                for batch in relation.to_arrow_reader(BATCH_ROWS):
                    yield batch.select(INTERACTION.names).cast(INTERACTION)

    def totals(self) -> list[dict[str, Any]]:
        query = f"""WITH {self._rewarded}, shown AS (
                SELECT policy_version, count(*) AS interactions, count(reward) AS rewarded, min(logged_at) AS first,
                    avg(coalesce(reward, $default)) AS mean_reward
                FROM decisions LEFT JOIN rewarded USING (number) GROUP BY ALL),
            shadowed AS (SELECT policy_version, count(*) AS shadowed, min(logged_at) AS first FROM shadows GROUP BY ALL)
            SELECT policy_version AS version, coalesce(interactions, 0) AS interactions,
                coalesce(rewarded, 0) AS rewarded, mean_reward, coalesce(shadowed, 0) AS shadowed
            FROM shown FULL JOIN shadowed USING (policy_version) ORDER BY least(shown.first, shadowed.first)"""
        with self._connection(self._decisions(EPOCH)) as connection:
            relation = connection.sql(query, params={"default": self._reward.default} | self._reward_parameters())
            return relation.to_arrow_table().to_pylist()

    @property
    def _first_counts(self) -> bool:
        return self._reward.aggregation == "first"

    @property
    def _rewarded(self) -> str:
        """The rewards within the window of their decisions, one row per decision that has any."""
        aggregation = self._reward.aggregation
        if aggregation in ORDERS:  # unlike arg_min, a window function spills to disk
            choice = f"QUALIFY row_number() OVER (PARTITION BY d.number ORDER BY {ORDERS[aggregation]}) = 1"
            reward = "r.value"
        else:
            choice, reward = "GROUP BY d.number", f"{AGGREGATES[aggregation]}(r.value)"
        return f"""rewarded AS (
            SELECT d.number, {reward} AS reward FROM rewards r JOIN decisions d ON r.event_id = d.event_id
            WHERE r.name = $name AND d.logged_at > $decided_since
                AND r.timestamp <= d.timestamp + to_microseconds($window)
                AND r.timestamp >= d.timestamp - to_microseconds($apart) {choice})"""

    def _reward_parameters(self, decided_since: datetime = EPOCH) -> dict[str, Any]:
        window, apart = timedelta(seconds=self._reward.window_seconds), AT_MOST_APART
        lengths = {"window": window // MICROSECOND, "apart": apart // MICROSECOND}
        return {"name": self._reward.name, "decided_since": decided_since} | lengths

    def _decisions(self, since: datetime, until: datetime = FOR_EVER) -> list[_File]:
        return _files(self._open("decisions"), "logged_at", since, until)

    def _connection(self, decisions: list[_File]) -> duckdb.DuckDBPyConnection:
        """A connection with the `decisions` and `shadows` of some files, and all rewards that may belong to them."""
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET memory_limit = '1GB'")
        connection.execute("SET temp_directory = $spill", {"spill": str(self._root / "spill")})
        earliest = min((file.earliest for file in decisions), default=FOR_EVER)
        for table, files in (
            ("decisions", decisions),
            ("rewards", _files(self._open("rewards"), "timestamp", earliest - AT_MOST_APART, FOR_EVER)),
        ):
            if files:
                logged = connection.read_parquet([file.path for file in files]).project(f"*, {NUMBER} AS number")
            else:
                logged = connection.from_arrow(_stored(table).empty_table()).project("*, 0 AS number")
            logged.create_view(f"logged_{table}")
        connection.execute("CREATE VIEW rewards AS FROM logged_rewards")
        connection.execute("CREATE VIEW decisions AS FROM logged_decisions WHERE mode <> 'shadow'")
        connection.execute("CREATE VIEW shadows AS FROM logged_decisions WHERE mode = 'shadow'")
        return connection

    def _open(self, table: str) -> DeltaTable | None:
        path = self._root / table
        return DeltaTable(path) if DeltaTable.is_deltatable(str(path)) else None

    def _create(self, table: str) -> DeltaTable:
        return self._open(table) or DeltaTable.create(self._root / table, _stored(table), configuration=LOG)


def _stored(table: str) -> pa.Schema:
    return SCHEMAS[table].append(LOGGED_AT)


def _files(delta: DeltaTable | None, column: str, earliest: datetime, latest: datetime) -> list[_File]:
    """The table's data files that may hold rows with `column` between two moments, by the log's own statistics."""
    if delta is None:
        return []
    root = Path(unquote(urlsplit(delta.table_uri).path))
    return [
        _File(str(root / unquote(action["path"])), action["num_records"], action["min.timestamp"])
        for action in pa.table(delta.get_add_actions(flatten=True)).to_pylist()
        if action[f"min.{column}"] <= latest and action[f"max.{column}"] >= earliest
    ]


def _slices(files: list[_File]) -> Iterator[list[_File]]:
    """Files of about SLICE_ROWS rows at a time, in the order of their events."""
    ordered = sorted(files, key=lambda file: file.earliest)
    ends = itertools.accumulate(file.rows for file in ordered)
    for _, some in itertools.groupby(zip(ends, ordered, strict=True), lambda pair: pair[0] // SLICE_ROWS):
        yield [file for _, file in some]


def _next_moment(delta: DeltaTable) -> datetime:
    """Now, or just after the latest append where the clock went back.

    In whole milliseconds, for that is all that Delta Lake's statistics keep.
    """
    files = pa.table(delta.get_add_actions(flatten=True)) if delta.version() else None
    latest = max((moment for moment in files["max.logged_at"].to_pylist()), default=EPOCH) if files else EPOCH
    now = EPOCH + timedelta(milliseconds=time.time_ns() // 1_000_000)
    return max(now, latest + timedelta(milliseconds=1))


def _compact(delta: DeltaTable) -> None:
    """Join small files of like size. A row is rewritten a bounded number of times, for files of a target size stay."""
    for smaller, target in itertools.pairwise((0, *COMPACTED_BYTES)):
        sizes = pa.table(delta.get_add_actions(flatten=True))["size_bytes"].to_pylist()
        if sum(smaller / 2 <= size < target / 2 for size in sizes) > SMALL_FILES_AT_MOST:
            delta.optimize.compact(target_size=target)
            delta.vacuum(KEPT_FOR_READERS_HOURS, dry_run=False, enforce_retention_duration=False)
