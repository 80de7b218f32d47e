"""The local warehouse: two Delta Lake tables, queried out of core by DuckDB."""

import contextlib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from banditloop.rl_core.backends.local.event_table import EPOCH, MAX_SKEW, DataFile, EventTable
from banditloop.rl_core.events.holdout import HEX_DIGITS, Fold, hash_bound
from banditloop.rl_core.events.schema import FIELD_DEFAULTS, INTERACTION
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import LogCounts
from banditloop.rl_core.settings.loop import ACTIVATION, RewardSection

BATCH_ROWS = 65_536
SLICE_ROWS = (
    4_000_000  # decisions joined with their rewards at a time: their keys fit in memory, so that nothing spills
)
MICROSECOND = timedelta(microseconds=1)
END_OF_TIME = datetime.max.replace(tzinfo=UTC)
EVENT_HASH = f"substr(sha256(d.event_id), 1, {HEX_DIGITS})"
FOLD_FILTERS = {None: "", "training": f"AND {EVENT_HASH} >= $held_out", "held_out": f"AND {EVENT_HASH} < $held_out"}
ROW_NUMBER = "file_index::BIGINT << 32 | file_row_number"  # unique, and cheaper to sort and join by than the event id
REWARD_ORDERS = {"first": "r.logged_at, r.timestamp, r.source_id", "last": "r.timestamp DESC, r.source_id DESC"}
AGGREGATE_FUNCTIONS = {"sum": "sum", "mean": "avg", "max": "max", "min": "min"}
IS_LATE = """(r.timestamp > d.timestamp + to_microseconds($window)
    OR r.logged_at > d.logged_at + to_microseconds($window))"""  # or interactions already read would change
IS_IN_TIME = f"NOT {IS_LATE} AND r.timestamp >= d.timestamp - to_microseconds($max_skew)"


class LocalWarehouse:
    """See banditloop.rl_core.ports.Warehouse."""

    def __init__(self, root: Path, reward: RewardSection, held_out: float) -> None:
        self._root = root
        self._reward = reward
        self._held_out = hash_bound(held_out)
        self._tables = {name: EventTable(root, name) for name in ("decisions", "rewards")}

    def append(self, table: str, events: pa.Table) -> int:
        return self._tables[table].append(events)

    def window(self, since: datetime | None) -> Window:
        since_or_start = since or EPOCH
        settled = "AND d.number NOT IN (SELECT number FROM rewarded)" if self._reward.aggregation == "first" else ""
        now = datetime.now(UTC)
        self._tables["rewards"].wait()
        open_since = max(since_or_start, now - timedelta(seconds=self._reward.attribution_window_seconds))
        with self._connection(self._decisions(since_or_start)) as connection:
            still_open = connection.execute(
                f"""WITH {self._rewarded} SELECT min(logged_at) - INTERVAL 1 MICROSECOND FROM eligible d
                WHERE logged_at > $since AND logged_at + to_microseconds($window) > $now AND mode <> 'simulated'
                {settled}""",
                {"since": since_or_start, "now": now} | self._reward_parameters(open_since),
            ).fetchall()[0][0]
            until, rows = connection.execute(
                "SELECT max(logged_at), count(*) FROM decisions WHERE logged_at > $since AND logged_at <= $until",
                {"since": since_or_start, "until": still_open or END_OF_TIME},
            ).fetchall()[0]
        return Window(since=since, until=until or since_or_start, interactions=rows)

    def interactions(self, window: Window, fold: Fold | None = None) -> Iterator[pa.RecordBatch]:
        query = f"""WITH {self._rewarded}
            SELECT d.* EXCLUDE (logged_at, number), coalesce(rewarded.reward, $default) AS reward
            FROM decisions d LEFT JOIN rewarded USING (number)
            WHERE d.logged_at > $since AND d.logged_at <= $until {FOLD_FILTERS[fold]}"""
        parameters: dict[str, Any] = {"held_out": self._held_out} if fold else {}
        parameters |= {"since": window.since or EPOCH, "until": window.until, "default": self._reward.default}
        for files in _slices(self._decisions(window.since or EPOCH, window.until)):
            with self._connection(files) as connection:
                relation = connection.sql(query, params=parameters | self._reward_parameters())
                for batch in relation.to_arrow_reader(BATCH_ROWS):
                    yield batch.select(INTERACTION.names).cast(INTERACTION)

    def policy_totals(self) -> list[dict[str, Any]]:
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

    def event_counts(self) -> LogCounts:
        counts = {name: table.counts() for name, table in self._tables.items()}
        received, duplicate = ({name: pair[index] for name, pair in counts.items()} for index in (0, 1))
        query = f"""SELECT count(*) FILTER ({IS_LATE}), count(*) FILTER (d.event_id IS NULL)
            FROM rewards r LEFT JOIN logged_decisions d ON r.event_id = d.event_id"""
        with self._connection(self._decisions(EPOCH), EPOCH) as connection:
            late, dangling = connection.execute(query, {"window": self._durations["window"]}).fetchall()[0]
        return LogCounts(received, duplicate, late, dangling)

    @property
    def _rewarded(self) -> str:
        """Common table expression: the aggregated rewards in time, one row per decision that has any."""
        aggregation = self._reward.aggregation
        if aggregation in REWARD_ORDERS:  # unlike arg_min, a window function spills to disk
            choice = f"QUALIFY row_number() OVER (PARTITION BY d.number ORDER BY {REWARD_ORDERS[aggregation]}) = 1"
            reward = "r.value"
        else:
            choice, reward = "GROUP BY d.number", f"{AGGREGATE_FUNCTIONS[aggregation]}(r.value)"
        return f"""rewarded AS (
            SELECT d.number, {reward} AS reward FROM rewards r JOIN decisions d ON r.event_id = d.event_id
            WHERE r.name = $name AND d.logged_at > $decided_since AND {IS_IN_TIME} {choice})"""

    def _reward_parameters(self, decided_since: datetime = EPOCH) -> dict[str, Any]:
        return {"name": self._reward.name, "decided_since": decided_since} | self._durations

    @property
    def _durations(self) -> dict[str, int]:
        window = timedelta(seconds=self._reward.attribution_window_seconds)
        return {"window": window // MICROSECOND, "max_skew": MAX_SKEW // MICROSECOND}

    def _decisions(self, since: datetime, until: datetime = END_OF_TIME) -> list[DataFile]:
        return self._tables["decisions"].files("logged_at", since, until)

    @contextlib.contextmanager
    def _connection(
        self, decisions: list[DataFile], since: datetime | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with views of some files of decisions, and of the rewards that may belong to them.

        The views are `logged_decisions`, all of them; `shadows`; `eligible`, the others; `decisions`, the eligible ones
        that are interactions (deferred ones only once activated); and `rewards`, those that may belong to the decisions
        or, where `since` is given, all that were earned since then.
        """
        with _interruptible(), duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")
            connection.execute("SET memory_limit = '1GB'")
            connection.execute("SET temp_directory = $spill", {"spill": str(self._root / "spill")})
            earliest = since or min((file.earliest for file in decisions), default=END_OF_TIME) - MAX_SKEW
            rewards = self._tables["rewards"].files("timestamp", earliest, END_OF_TIME)
            _view(connection, "logged_decisions", decisions, self._tables["decisions"].stored)
            _view(connection, "rewards", rewards, self._tables["rewards"].stored)
            connection.execute("CREATE VIEW shadows AS FROM logged_decisions WHERE mode = 'shadow'")
            connection.execute("CREATE VIEW eligible AS FROM logged_decisions WHERE mode <> 'shadow'")
            if any(file.first_mode == "deferred" for file in decisions):  # alphabetically the first mode
                connection.execute(
                    f"""CREATE TABLE activated AS
                    SELECT d.number FROM rewards r JOIN eligible d ON r.event_id = d.event_id
                    WHERE r.name = $name AND {IS_IN_TIME}""",
                    self._durations | {"name": ACTIVATION},
                )
                is_interaction = "mode <> 'deferred' OR number IN (FROM activated)"
            else:
                is_interaction = "true"
            connection.execute(f"CREATE VIEW decisions AS FROM eligible WHERE {is_interaction}")
            yield connection


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Re-raise Ctrl-C and SIGTERM as KeyboardInterrupt: DuckDB turns them into an error, which would be retried."""
    try:
        yield
    except RuntimeError as error:
        if "Query interrupted" in str(error):
            raise KeyboardInterrupt from None
        raise


def _view(connection: duckdb.DuckDBPyConnection, name: str, files: list[DataFile], stored: pa.Schema) -> None:
    """View of the rows of some files, numbered; fields missing in older files have the values of FIELD_DEFAULTS."""
    if files:
        differ = len({file.fields for file in files}) > 1  # union_by_name opens every file, as slow as reading it
        rows = connection.read_parquet([file.path for file in files], union_by_name=differ)
    else:
        rows = connection.from_arrow(stored.empty_table())
    columns = {field: field for field in stored.names} | {"number": ROW_NUMBER if files else "0"}
    for field in FIELD_DEFAULTS.keys() & columns.keys():
        default = FIELD_DEFAULTS[field]
        columns[field] = f"coalesce({field}, {default})" if field in rows.columns else f"{default}"
    rows.project(", ".join(f"{expression} AS {field}" for field, expression in columns.items())).create_view(name)


def _slices(files: list[DataFile]) -> Iterator[list[DataFile]]:
    """Groups of files with about SLICE_ROWS rows each, in the order of their earliest timestamps."""
    ordered = sorted(files, key=lambda file: file.earliest)
    ends = itertools.accumulate(file.rows for file in ordered)
    for _, group in itertools.groupby(zip(ends, ordered, strict=True), lambda pair: pair[0] // SLICE_ROWS):
        yield [file for _, file in group]
