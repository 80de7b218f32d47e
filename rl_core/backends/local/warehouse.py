"""The warehouse as two Delta Lake tables, queried out of core by DuckDB.

A lock file lets one append at a time check keys, take the next `logged_at` and commit. So `logged_at` never goes back:
what a reader sees up to a moment is all there will ever be up to it, and a watermark is a plain time.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from filelock import FileLock

from rl_core.config import RewardSection
from rl_core.policy import Window
from rl_core.schema import INTERACTION, KEYS, LOGGED_AT, SCHEMAS, TIME

BATCH_ROWS = 65_536
EPOCH = datetime.fromtimestamp(0, UTC)
SAME_KEY_WITHIN = timedelta(days=1)
AGGREGATIONS = {
    "first": "arg_min(r.value, (r.timestamp, r.source_id))",
    "last": "arg_max(r.value, (r.timestamp, r.source_id))",
    "sum": "sum(r.value)",
    "mean": "avg(r.value)",
    "max": "max(r.value)",
    "min": "min(r.value)",
}


class LocalWarehouse:
    """See rl_core.backends.Warehouse."""

    def __init__(self, root: Path, reward: RewardSection) -> None:
        self._root = root
        self._reward = reward

    def append(self, table: str, events: pa.Table) -> int:
        self._root.mkdir(parents=True, exist_ok=True)
        with FileLock(self._root / f"{table}.lock"):
            delta = self._create(table)
            new = _unknown(delta, events, KEYS[table])
            if new.num_rows:
                logged_at = pa.array([_next_moment(delta)] * new.num_rows, pa.int64()).cast(TIME)
                write_deltalake(delta, new.append_column(LOGGED_AT, logged_at), mode="append")
            return new.num_rows

    def window(self, since: datetime | None) -> Window:
        since_or_start = since or EPOCH
        decided = {"since": since_or_start}
        unrewarded = "AND d.event_id NOT IN (SELECT event_id FROM rewarded)" if self._first_counts else ""
        with self._connection(since_or_start) as connection:
            still_open = connection.execute(
                f"""WITH {self._rewarded} SELECT min(logged_at) - INTERVAL 1 MICROSECOND FROM decisions d
                WHERE logged_at > $since AND d.timestamp + to_microseconds($window) > $now {unrewarded}""",
                decided | {"now": datetime.now(UTC)} | self._reward_parameters(),
            ).fetchall()[0][0]
            until, rows = connection.execute(
                "SELECT max(logged_at), count(*) FROM decisions WHERE logged_at > $since AND logged_at <= $until",
                decided | {"until": still_open or datetime.max.replace(tzinfo=UTC)},
            ).fetchall()[0]
        return Window(since=since, until=until or since_or_start, interactions=rows)

    def interactions(self, window: Window) -> Iterator[pa.RecordBatch]:
        query = f"""WITH {self._rewarded}
            SELECT d.* EXCLUDE (logged_at), coalesce(rewarded.reward, $default) AS reward
            FROM decisions d LEFT JOIN rewarded USING (event_id)
            WHERE d.logged_at > $since AND d.logged_at <= $until"""
        parameters = {"since": window.since or EPOCH, "until": window.until, "default": self._reward.default}
        with self._connection(window.since or EPOCH) as connection:
            relation = connection.sql(query, params=parameters | self._reward_parameters())
            for batch in relation.to_arrow_reader(BATCH_ROWS):
                yield batch.select(INTERACTION.names).cast(INTERACTION)

    def totals(self) -> list[dict[str, Any]]:
        query = f"""WITH {self._rewarded}
            SELECT d.policy_version AS version, any_value(d.mode) AS mode, count(*) AS interactions,
                count(rewarded.reward) AS rewarded, avg(coalesce(rewarded.reward, $default)) AS mean_reward
            FROM decisions d LEFT JOIN rewarded USING (event_id) GROUP BY 1 ORDER BY min(d.logged_at)"""
        with self._connection(EPOCH) as connection:
            relation = connection.sql(query, params={"default": self._reward.default} | self._reward_parameters())
            return relation.to_arrow_table().to_pylist()

    @property
    def _first_counts(self) -> bool:
        return self._reward.aggregation == "first"

    @property
    def _rewarded(self) -> str:
        """The rewards within the window of their decisions, one row per event."""
        return f"""rewarded AS (
            SELECT r.event_id, {AGGREGATIONS[self._reward.aggregation]} AS reward
            FROM rewards r JOIN decisions d ON r.event_id = d.event_id
            WHERE r.name = $name AND r.timestamp <= d.timestamp + to_microseconds($window) GROUP BY r.event_id)"""

    def _reward_parameters(self) -> dict[str, Any]:
        return {"name": self._reward.name, "window": round(self._reward.window_seconds * 1e6)}

    def _connection(self, since: datetime) -> duckdb.DuckDBPyConnection:
        """A connection with `decisions` logged after `since`, and every reward that may belong to them."""
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET memory_limit = '1GB'")
        connection.execute("SET temp_directory = $spill", {"spill": str(self._root / "spill")})
        for table, column in (("decisions", "logged_at"), ("rewards", "timestamp")):
            after = since if table == "decisions" else EPOCH
            files = _files(self._open(table), column, after, datetime.max.replace(tzinfo=UTC))
            if files:
                connection.read_parquet(files).create_view(table)
            else:
                connection.register(table, _stored(table).empty_table())
        return connection

    def _open(self, table: str) -> DeltaTable | None:
        path = self._root / table
        return DeltaTable(path) if DeltaTable.is_deltatable(str(path)) else None

    def _create(self, table: str) -> DeltaTable:
        return self._open(table) or DeltaTable.create(self._root / table, _stored(table))


def _stored(table: str) -> pa.Schema:
    return SCHEMAS[table].append(LOGGED_AT)


def _unknown(delta: DeltaTable, events: pa.Table, key: list[str]) -> pa.Table:
    """The events, each key once, that the table does not hold."""
    if not events.num_rows:
        return events
    with duckdb.connect() as connection:
        connection.register("events", events.append_column("row", pa.array(range(events.num_rows))))
        names = ", ".join(key)
        rows = connection.sql(f"SELECT {names}, min(row) AS row, min(timestamp) AS t FROM events GROUP BY ALL")
        earliest, latest = rows.aggregate("min(t), max(t)").fetchall()[0]
        files = _files(delta, "timestamp", earliest - SAME_KEY_WITHIN, latest + SAME_KEY_WITHIN)
        if files:
            connection.read_parquet(files).create_view("known")
            rows = connection.sql(f"SELECT row FROM rows ANTI JOIN (SELECT {names} FROM known) USING ({names})")
        return events.take(rows.order("row").to_arrow_table()["row"])


def _files(delta: DeltaTable | None, column: str, earliest: datetime, latest: datetime) -> list[str]:
    """The table's data files that may hold rows with `column` between two moments, by the log's own statistics."""
    if delta is None:
        return []
    actions = pa.table(delta.get_add_actions(flatten=True))
    bounds = zip(actions[f"min.{column}"].to_pylist(), actions[f"max.{column}"].to_pylist(), strict=True)
    reaches = [low <= latest and high >= earliest for low, high in bounds]
    root = Path(delta.table_uri.removeprefix("file://"))
    return [str(root / path) for path in actions["path"].filter(pa.array(reaches, pa.bool_())).to_pylist()]


def _next_moment(delta: DeltaTable) -> int:
    """Now in microseconds, or just after the latest append where the clock went back."""
    latest = pa.table(delta.get_add_actions(flatten=True))["max.logged_at"].to_pylist() if delta.version() else []
    after = max((round((moment - EPOCH) / timedelta(microseconds=1)) for moment in latest if moment), default=0)
    return max(time.time_ns() // 1000, after + 1)
