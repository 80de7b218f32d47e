"""The warehouse as two Delta Lake tables, queried out of core by DuckDB."""

import contextlib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from rl_core.backends import LogCounts
from rl_core.backends.local.table import AT_MOST_APART, EPOCH, DataFile, EventTable
from rl_core.config import RewardSection
from rl_core.manifest import Window
from rl_core.schema import ACTIVATION, INTERACTION, LATER_FIELDS
from rl_core.split import DIGITS, Part, bound

BATCH_ROWS = 65_536
SLICE_ROWS = 4_000_000  # decisions that meet their rewards at a time: their keys fit in memory, so nothing spills
MICROSECOND = timedelta(microseconds=1)
FOR_EVER = datetime.max.replace(tzinfo=UTC)
HASH = f"substr(sha256(d.event_id), 1, {DIGITS})"
PARTS = {None: "", "training": f"AND {HASH} >= $held_out", "held_out": f"AND {HASH} < $held_out"}
NUMBER = "file_index::BIGINT << 32 | file_row_number"  # of a row: to sort and join by it is cheaper than by event id
ORDERS = {"first": "r.logged_at, r.timestamp, r.source_id", "last": "r.timestamp DESC, r.source_id DESC"}
AGGREGATES = {"sum": "sum", "mean": "avg", "max": "max", "min": "min"}
LATE = """(r.timestamp > d.timestamp + to_microseconds($window)
    OR r.logged_at > d.logged_at + to_microseconds($window))"""  # or what was read would change
IN_TIME = f"NOT {LATE} AND r.timestamp >= d.timestamp - to_microseconds($apart)"


class LocalWarehouse:
    """See rl_core.backends.Warehouse."""

    def __init__(self, root: Path, reward: RewardSection, held_out: float) -> None:
        self._root = root
        self._reward = reward
        self._held_out = bound(held_out)
        self._tables = {name: EventTable(root, name) for name in ("decisions", "rewards")}

    def append(self, table: str, events: pa.Table) -> int:
        return self._tables[table].append(events)

    def window(self, since: datetime | None) -> Window:
        since_or_start = since or EPOCH
        settled = "AND d.number NOT IN (SELECT number FROM rewarded)" if self._reward.aggregation == "first" else ""
        now = datetime.now(UTC)
        self._tables["rewards"].wait()
        open_since = max(since_or_start, now - timedelta(seconds=self._reward.window_seconds))
        with self._connection(self._decisions(since_or_start)) as connection:
            still_open = connection.execute(
                f"""WITH {self._rewarded} SELECT min(logged_at) - INTERVAL 1 MICROSECOND FROM asked d
                WHERE logged_at > $since AND logged_at + to_microseconds($window) > $now AND mode <> 'simulated'
                {settled}""",
                {"since": since_or_start, "now": now} | self._reward_parameters(open_since),
            ).fetchall()[0][0]
            until, rows = connection.execute(
                "SELECT max(logged_at), count(*) FROM decisions WHERE logged_at > $since AND logged_at <= $until",
                {"since": since_or_start, "until": still_open or FOR_EVER},
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
                    sum(coalesce(reward, $default) / pass_probability) / sum(1 / pass_probability) AS mean_reward
                FROM decisions LEFT JOIN rewarded USING (number) GROUP BY ALL),
            shadowed AS (SELECT policy_version, count(*) AS shadowed, min(logged_at) AS first FROM shadows GROUP BY ALL)
            SELECT policy_version AS version, coalesce(interactions, 0) AS interactions,
                coalesce(rewarded, 0) AS rewarded, mean_reward, coalesce(shadowed, 0) AS shadowed
            FROM shown FULL JOIN shadowed USING (policy_version) ORDER BY least(shown.first, shadowed.first)"""
        with self._connection(self._decisions(EPOCH)) as connection:
            relation = connection.sql(query, params={"default": self._reward.default} | self._reward_parameters())
            return relation.to_arrow_table().to_pylist()

    def counts(self) -> LogCounts:
        came = {name: table.counts() for name, table in self._tables.items()}
        received, duplicate = ({name: pair[place] for name, pair in came.items()} for place in (0, 1))
        query = f"""SELECT count(*) FILTER ({LATE}), count(*) FILTER (d.event_id IS NULL)
            FROM rewards r LEFT JOIN logged_decisions d ON r.event_id = d.event_id"""
        with self._connection(self._decisions(EPOCH), EPOCH) as connection:
            late, dangling = connection.execute(query, {"window": self._lengths["window"]}).fetchall()[0]
        return LogCounts(received, duplicate, late, dangling)

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
            WHERE r.name = $name AND d.logged_at > $decided_since AND {IN_TIME} {choice})"""

    def _reward_parameters(self, decided_since: datetime = EPOCH) -> dict[str, Any]:
        return {"name": self._reward.name, "decided_since": decided_since} | self._lengths

    @property
    def _lengths(self) -> dict[str, int]:
        window = timedelta(seconds=self._reward.window_seconds)
        return {"window": window // MICROSECOND, "apart": AT_MOST_APART // MICROSECOND}

    def _decisions(self, since: datetime, until: datetime = FOR_EVER) -> list[DataFile]:
        return self._tables["decisions"].files("logged_at", since, until)

    @contextlib.contextmanager
    def _connection(
        self, decisions: list[DataFile], since: datetime | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with some files of decisions, and all rewards that may belong to them, or all `since`.

        Its views: `asked`, that may count; of them `decisions`, that do, for a deferred one only does once activated;
        and `shadows`.
        """
        with _interruptible(), duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")
            connection.execute("SET memory_limit = '1GB'")
            connection.execute("SET temp_directory = $spill", {"spill": str(self._root / "spill")})
            earliest = since or min((file.earliest for file in decisions), default=FOR_EVER) - AT_MOST_APART
            rewards = self._tables["rewards"].files("timestamp", earliest, FOR_EVER)
            _view(connection, "logged_decisions", decisions, self._tables["decisions"].stored)
            _view(connection, "rewards", rewards, self._tables["rewards"].stored)
            connection.execute("CREATE VIEW shadows AS FROM logged_decisions WHERE mode = 'shadow'")
            connection.execute("CREATE VIEW asked AS FROM logged_decisions WHERE mode <> 'shadow'")
            if any(file.first_mode == "deferred" for file in decisions):  # no mode comes before it in the alphabet
                connection.execute(
                    f"""CREATE TABLE activated AS
                    SELECT d.number FROM rewards r JOIN asked d ON r.event_id = d.event_id
                    WHERE r.name = $name AND {IN_TIME}""",
                    self._lengths | {"name": ACTIVATION},
                )
                counts = "mode <> 'deferred' OR number IN (FROM activated)"
            else:
                counts = "true"
            connection.execute(f"CREATE VIEW decisions AS FROM asked WHERE {counts}")
            yield connection


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM be what they are: DuckDB makes an error of them, which would be tried again."""
    try:
        yield
    except RuntimeError as error:
        if "Query interrupted" in str(error):
            raise KeyboardInterrupt from None
        raise


def _view(connection: duckdb.DuckDBPyConnection, name: str, files: list[DataFile], stored: pa.Schema) -> None:
    """The rows of some files, each with its number; fields that a file is too old for have the values of then."""
    if files:
        various = len({file.fields for file in files}) > 1  # to look into every file takes as long as to read it
        logged = connection.read_parquet([file.path for file in files], union_by_name=various)
    else:
        logged = connection.from_arrow(stored.empty_table())
    columns = {field: field for field in stored.names} | {"number": NUMBER if files else "0"}
    for field in LATER_FIELDS.keys() & columns.keys():
        before = LATER_FIELDS[field]
        columns[field] = f"coalesce({field}, {before})" if field in logged.columns else f"{before}"
    logged.project(", ".join(f"{value} AS {field}" for field, value in columns.items())).create_view(name)


def _slices(files: list[DataFile]) -> Iterator[list[DataFile]]:
    """Files of about SLICE_ROWS rows at a time, in the order of their events."""
    ordered = sorted(files, key=lambda file: file.earliest)
    ends = itertools.accumulate(file.rows for file in ordered)
    for _, some in itertools.groupby(zip(ends, ordered, strict=True), lambda pair: pair[0] // SLICE_ROWS):
        yield [file for _, file in some]
