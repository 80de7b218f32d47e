"""The local warehouse: two Delta Lake tables, queried out of core by DuckDB."""

import contextlib
import copy
import logging
from collections.abc import Callable, Hashable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from banditloop.rl_core.backends.local import queries
from banditloop.rl_core.backends.local.event_table import EPOCH, DataFile, EventTable
from banditloop.rl_core.backends.local.file_slices import batch_rows, slices
from banditloop.rl_core.backends.local.log_connection import LogView, log_connection
from banditloop.rl_core.backends.local.query_cache import MAX_SECONDS, QueryCache
from banditloop.rl_core.backends.local.table_damage import DamageCheck
from banditloop.rl_core.backends.local.upgrade import is_upgraded, upgrade
from banditloop.rl_core.backends.older_schema import NOT_UPGRADED
from banditloop.rl_core.backends.stored_features import without_null_lists
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.holdout import Fold, hash_bound
from banditloop.rl_core.events.schema import KEYS, MAX_LEAD, interaction_schema
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import LogCounts
from banditloop.rl_core.ports.warehouse import AHEAD, MAX_SKEW
from banditloop.rl_core.settings.loop import ACTIVATION, RewardSection
from banditloop.rl_core.settings.task import Task

MICROSECOND = timedelta(microseconds=1)
END_OF_TIME = datetime.max.replace(tzinfo=UTC)
MAX_WAIT = timedelta(days=1)  # of a window, for rewards that were received and are not logged yet
log = logging.getLogger("banditloop.warehouse")


class LocalWarehouse:
    """See banditloop.rl_core.ports.Warehouse."""

    def __init__(
        self,
        root: Path,
        task: Task,
        reward: RewardSection,
        held_out: float,
        waiting_since: Callable[[], datetime | None],
    ) -> None:
        self._root = root
        self._waiting_since = waiting_since
        self._task = task
        self._reward = reward
        self._held_out = hash_bound(held_out)
        self._ignores = reward.default == "ignore"

    @property
    def _tables(self) -> dict[str, EventTable]:
        """The tables, with what the disk has damaged since the last time mended. PlatformError: it cannot be."""
        for check in self._checks:
            check.mend()
        return self._opened

    @cached_property
    def _results(self) -> QueryCache:
        return QueryCache()

    @cached_property
    def _checks(self) -> list[DamageCheck]:
        return [DamageCheck(table) for table in self._opened.values()]

    @cached_property
    def _opened(self) -> dict[str, EventTable]:
        """The tables, once they are known to have this schema version."""
        if not is_upgraded(self._root):
            raise InvalidInput(NOT_UPGRADED)
        return {table: EventTable(self._root, table, self._task, max(MAX_SKEW, self._attribution)) for table in KEYS}

    def reading(self, task: Task) -> "LocalWarehouse":
        other = copy.copy(self)
        other._task = task
        for name in ("_opened", "_checks", "_results"):
            other.__dict__.pop(name, None)
        return other

    def append(self, table: str, events: pa.Table) -> int:
        return self._tables[table].append(events)

    def window(self, since: datetime | None) -> Window:
        return self._kept(("window", since), lambda: self._window(since))

    def _window(self, since: datetime | None) -> tuple[Window, float]:
        """The window, and for how many seconds it stays the same if no event comes."""
        now = datetime.now(UTC)
        if since and since > now + MAX_LEAD:
            log.error(AHEAD, "the last training", since)
            since = None
        since_or_start = since or EPOCH
        settled = "AND d.number NOT IN (SELECT number FROM rewarded)" if self._reward.aggregation == "first" else ""
        present = now + MAX_LEAD / 2  # so that a writer whose clock differs does not store rows before it
        waiting = self._waiting_since()
        closed = max(min(waiting or now, now), now - MAX_WAIT)
        self._tables["rewards"].wait()
        open_since = max(since_or_start, closed - self._attribution)
        with self._connection(self._decisions(since_or_start)) as connection:
            still_open = connection.execute(
                f"""WITH {self._rewarded} SELECT min(logged_at) - INTERVAL 1 MICROSECOND FROM eligible d
                WHERE logged_at > $since AND logged_at + to_microseconds($window) > $closed AND mode <> 'simulated'
                AND logged_at <= $present {settled}""",
                {"since": since_or_start, "closed": closed, "present": present} | self._reward_parameters(open_since),
            ).fetchall()[0][0]
            parameters = {"since": since_or_start, "until": still_open or present}
            query = "SELECT max(logged_at), count(*) FROM decisions d WHERE logged_at > $since AND logged_at <= $until"
            if self._ignores:
                query = f"WITH {self._rewarded} {query.replace('count(*)', queries.REWARDED_COUNT)}"
                parameters |= self._reward_parameters(since_or_start)
            until, rows = connection.execute(query, parameters).fetchall()[0]
        closes = (still_open - closed + self._attribution).total_seconds() if still_open else END_OF_TIME.timestamp()
        return Window(since=since, until=until or since_or_start, interactions=rows), 0.0 if waiting else closes

    def interactions(self, window: Window, fold: Fold | None = None) -> Iterator[pa.RecordBatch]:
        query = f"""WITH {self._rewarded}
            SELECT d.* EXCLUDE (logged_at, number), {self._value} AS reward
            FROM decisions d {"" if self._ignores else "LEFT"} JOIN rewarded USING (number)
            WHERE d.logged_at > $since AND d.logged_at <= $until {queries.FOLD_FILTERS[fold]}"""
        parameters: dict[str, Any] = {"held_out": self._held_out} if fold else {}
        parameters |= {"since": window.since or EPOCH, "until": window.until} | self._default
        schema = interaction_schema(self._task)
        for files in slices(self._decisions(window.since or EPOCH, window.until)):
            with self._connection(files) as connection:
                relation = connection.sql(query, params=parameters | self._reward_parameters())
                for batch in relation.to_arrow_reader(batch_rows(files)):
                    yield without_null_lists(batch.select(schema.names).cast(schema))

    def policy_totals(self) -> list[dict[str, Any]]:
        return self._kept("totals", lambda: (self._policy_totals(), MAX_SECONDS))

    def _policy_totals(self) -> list[dict[str, Any]]:
        query = queries.totals(self._rewarded, self._value)
        with self._connection(self._decisions(EPOCH)) as connection:
            relation = connection.sql(query, params=self._default | self._reward_parameters())
            return relation.to_arrow_table().to_pylist()

    def event_counts(self) -> LogCounts:
        return self._kept("counts", lambda: (self._event_counts(), MAX_SECONDS))

    def _event_counts(self) -> LogCounts:
        counts = {name: table.counts() for name, table in self._tables.items()}
        received, duplicate = ({name: pair[index] for name, pair in counts.items()} for index in (0, 1))
        with self._connection(self._decisions(EPOCH), EPOCH) as connection:
            parameters = self._durations | {"name": self._reward.name, "activation": ACTIVATION}
            rewards = {
                name[2:]: count for name, count in connection.execute(queries.REWARD_OUTCOMES, parameters).fetchall()
            }
            [decisions] = connection.sql(queries.DECISION_OUTCOMES).to_arrow_table().to_pylist()
        return LogCounts(received, duplicate, **decisions, **rewards)

    def repair(self) -> int:
        return sum(table.repair() for table in self._tables.values())

    def upgrade(self) -> int:
        return 0 if is_upgraded(self._root) else upgrade(self._root, self._task)

    def _kept(self, key: Hashable, query: Callable[[], tuple[Any, float]]) -> Any:
        """The result of a query, which is asked again only if a file has changed or its seconds have passed."""
        return self._results.get(key, [check.mend() for check in self._checks], query)

    @property
    def _value(self) -> str:
        """SQL of the reward of an interaction; null where a decision without one is ignored."""
        return "reward" if self._ignores else "coalesce(reward, $default)"

    @property
    def _default(self) -> dict[str, Any]:
        return {} if self._ignores else {"default": self._reward.default}

    @property
    def _rewarded(self) -> str:
        return queries.rewarded(self._reward.aggregation)

    def _reward_parameters(self, decided_since: datetime = EPOCH) -> dict[str, Any]:
        return {"name": self._reward.name, "decided_since": decided_since} | self._durations

    @property
    def _durations(self) -> dict[str, int]:
        durations = {"window": self._attribution, "max_skew": MAX_SKEW, "max_wait": MAX_WAIT}
        return {name: duration // MICROSECOND for name, duration in durations.items()}

    @property
    def _attribution(self) -> timedelta:
        return timedelta(seconds=self._reward.attribution_window_seconds)

    def _decisions(self, since: datetime, until: datetime = END_OF_TIME) -> list[DataFile]:
        return self._tables["decisions"].files("logged_at", since, until)

    def _connection(
        self, decisions: list[DataFile], since: datetime | None = None
    ) -> contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]:
        tables = self._tables
        earliest = since or min((file.earliest for file in decisions), default=END_OF_TIME) - MAX_SKEW
        rewards = tables["rewards"].files("timestamp", earliest, END_OF_TIME)
        views = (
            LogView("logged_decisions", decisions, tables["decisions"].schema),
            LogView("rewards", rewards, tables["rewards"].schema),
        )
        return log_connection(*views, self._durations, self._root / "spill")
