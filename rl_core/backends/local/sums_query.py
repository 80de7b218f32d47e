"""The queries of a look: which rows are new, which events they belong to, and the sums over these events."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import duckdb
import pyarrow as pa

from banditloop.rl_core.backends.local import queries
from banditloop.rl_core.backends.local.event_log import EventLog
from banditloop.rl_core.backends.local.event_table import EPOCH
from banditloop.rl_core.backends.local.key_hashes import KeyHashes
from banditloop.rl_core.backends.local.log_connection import DEFERRED, create_outcome_views
from banditloop.rl_core.backends.local.log_sums import LogSums, VersionSums
from banditloop.rl_core.backends.local.table_snapshot import DataFile, Snapshot
from banditloop.rl_core.backends.local.views import create_view
from banditloop.rl_core.events.schema import KEYS
from banditloop.rl_core.settings.loop import ACTIVATION

LOGGED = {"decisions": "logged_decisions", "rewards": "rewards"}  # the views that create_outcome_views reads
COLUMNS = {
    "decisions": ("event_id", "timestamp", "policy_version", "mode", "logging_probability", "logged_at"),
    "rewards": ("event_id", "name", "value", "timestamp", "source_id", "received_at", "logged_at"),
}


class NewRows(NamedTuple):
    """The rows of a table that were logged after a time."""

    before: int  # number of rows up to that time
    added: int
    ahead: int  # of them, logged while the clock was ahead
    last: datetime | None  # logged_at of the last one that was not


class SumsQuery:
    """The queries of one look, on one state of the log."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        events: EventLog,
        tables: Mapping[str, Snapshot],
        hashes: Mapping[str, KeyHashes],
    ) -> None:
        self._connection, self._events, self._tables, self._hashes = connection, events, tables, hashes
        schemas = {name: table.schema for name, table in events.tables.items()}
        self._schemas = {table: pa.schema([schemas[table].field(name) for name in COLUMNS[table]]) for table in KEYS}

    def new_rows(self, since: Mapping[str, datetime], present: datetime) -> dict[str, NewRows]:
        """What was logged after these times, and is found as `new_decisions` and `new_rewards`."""
        return {table: self._new_rows(table, since[table], present) for table in KEYS}

    def _new_rows(self, table: str, since: datetime, present: datetime) -> NewRows:
        files = self._tables[table].files
        new = [file for file in files if file.last_logged > since]
        self._view(
            f"new_{table}", new, pa.schema([self._schemas[table].field(name) for name in ("event_id", "logged_at")])
        )
        [(before, count, ahead, last)] = self._connection.execute(
            f"""SELECT count(*) FILTER (logged_at <= $since), count(*) FILTER (logged_at > $since),
            count(*) FILTER (logged_at > $present), max(logged_at) FILTER (logged_at > $since AND logged_at <= $present)
            FROM new_{table}""",
            {"since": since, "present": present},
        ).fetchall()
        return NewRows(before + sum(file.rows for file in files if file.last_logged <= since), count, ahead, last)

    def read_events(self, since: Mapping[str, datetime]) -> None:
        """Find all rows of the events that have rows after these times as `stored_decisions` and `stored_rewards`."""
        if set(since.values()) == {EPOCH}:
            for table, snapshot in self._tables.items():
                self._hashes[table].index(self._connection, {file.path: file.rows for file in snapshot.files})
                self._view(f"stored_{table}", snapshot.files, self._schemas[table])
            return
        parts = " UNION ALL ".join(
            f"SELECT event_id FROM new_{table} WHERE logged_at > {_sql(since[table])}" for table in KEYS
        )
        self._connection.execute(f"CREATE TEMP TABLE changed AS SELECT DISTINCT event_id FROM ({parts})")
        changed = self._hashes["decisions"].of(self._connection.table("changed"))
        for table, snapshot in self._tables.items():
            old = {file.path: file.rows for file in snapshot.files if file.first_logged <= since[table]}
            self._hashes[table].index(self._connection, old)
            matching = {*self._hashes[table].files_with(changed)}
            files = [file for file in snapshot.files if file.path in matching or file.path not in old]
            self._view(f"all_{table}", files, self._schemas[table])
            self._connection.execute(
                f"CREATE TEMP TABLE stored_{table} AS FROM all_{table} SEMI JOIN changed USING (event_id)"
            )

    def sums(self, until: Mapping[str, datetime]) -> LogSums:
        """The sums over what was read, as far as it was logged up to these times."""
        if set(until.values()) == {EPOCH}:
            return LogSums()
        for table, view in LOGGED.items():
            self._connection.execute(
                f"CREATE OR REPLACE TEMP VIEW {view} AS FROM stored_{table} WHERE logged_at <= {_sql(until[table])}"
            )
        deferred = any(file.first_mode == DEFERRED for file in self._tables["decisions"].files)
        create_outcome_views(self._connection, self._events.durations, deferred)
        return LogSums(self._versions(), self._outcomes())

    def _versions(self) -> dict[str, VersionSums]:
        query = queries.version_sums(self._events.rewarded, self._events.value)
        parameters = self._events.default | self._events.reward_parameters()
        rows = self._connection.execute(query, parameters).fetchall()
        return {version: VersionSums(*sums) for version, *sums in rows}

    def _outcomes(self) -> dict[str, int]:
        parameters = self._events.durations | {"name": self._events.reward.name, "activation": ACTIVATION}
        rewards = self._connection.execute(queries.REWARD_OUTCOMES, parameters).fetchall()
        [decisions] = self._connection.sql(queries.DECISION_OUTCOMES).to_arrow_table().to_pylist()
        return {name[2:]: count for name, count in rewards} | decisions

    def _view(self, name: str, files: list[DataFile], schema: pa.Schema) -> None:
        create_view(self._connection, name, files, schema)


def _sql(time: datetime) -> str:
    return f"TIMESTAMPTZ '{time.isoformat()}'"
