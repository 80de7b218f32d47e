"""The queries of a look: which rows are new, which events they belong to, and the sums over these events."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import duckdb
import pyarrow as pa

from banditloop.rl_core.backends.local import queries
from banditloop.rl_core.backends.local.database import use_all_cores
from banditloop.rl_core.backends.local.event_log import EventLog
from banditloop.rl_core.backends.local.event_table import EPOCH
from banditloop.rl_core.backends.local.key_hashes import hashes
from banditloop.rl_core.backends.local.log_connection import DEFERRED, create_outcome_views
from banditloop.rl_core.backends.local.log_sums import VERSION_SUMS, LogSums
from banditloop.rl_core.backends.local.table_snapshot import Snapshot
from banditloop.rl_core.events.schema import KEYS

LOGGED = {"decisions": "logged_decisions", "rewards": "rewards"}  # the views that create_outcome_views reads


class NewRows(NamedTuple):
    """The rows of a table that were logged after a time."""

    before: int  # number of rows up to that time
    added: int
    ahead: int  # of them, logged while the clock was ahead
    last: datetime | None  # logged_at of the last one that was not


class SumsQuery:
    """The queries of one look, on one state of the log."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, events: EventLog, tables: Mapping[str, Snapshot]) -> None:
        self._connection, self._events, self._tables = connection, events, tables

    def new_rows(self, since: Mapping[str, datetime], present: datetime) -> dict[str, NewRows]:
        """The rows logged after these times. Creates views of their files, `new_decisions` and `new_rewards`."""
        return {table: self._new_rows(table, since[table], present) for table in KEYS}

    def _new_rows(self, table: str, since: datetime, present: datetime) -> NewRows:
        files = self._tables[table].files
        new = [file for file in files if file.last_logged > since]
        self._events.create_view(self._connection, f"new_{table}", table, new)
        [(before, count, ahead, last)] = self._connection.execute(
            f"""SELECT count(*) FILTER (logged_at <= $since), count(*) FILTER (logged_at > $since),
            count(*) FILTER (logged_at > $present),
            epoch_us(max(logged_at) FILTER (logged_at > $since AND logged_at <= $present))
            FROM new_{table}""",
            {"since": since, "present": present},
        ).fetchall()
        return NewRows(
            before + sum(file.rows for file in files if file.last_logged <= since), count, ahead, queries.time_of(last)
        )

    def read_events(self, since: Mapping[str, datetime]) -> None:
        """Create `stored_decisions` and `stored_rewards`: all rows of the events that have rows after these times."""
        if _is_all_new(since):
            use_all_cores(self._connection)
            for table, snapshot in self._tables.items():
                self._events.event_ids[table].index(self._connection, {file.path: file.rows for file in snapshot.files})
                self._events.create_view(self._connection, f"stored_{table}", table, snapshot.files)
            return
        parts = " UNION ALL ".join(
            f"SELECT event_id FROM new_{table} WHERE logged_at > {queries.sql_time(since[table])}" for table in KEYS
        )
        self._connection.execute(f"CREATE TEMP TABLE changed AS SELECT DISTINCT event_id FROM ({parts})")
        changed = hashes(self._connection.table("changed"), "event_id")
        for table, snapshot in self._tables.items():
            old = [file for file in snapshot.files if file.first_logged <= since[table]]
            files = [file for file in snapshot.files if file.first_logged > since[table]]
            files += self._events.files_with(self._connection, table, old, changed)
            self._events.create_view(self._connection, f"all_{table}", table, files)
            query = f"FROM all_{table} SEMI JOIN changed USING (event_id)"
            self._connection.execute(f"CREATE TEMP TABLE stored_{table} AS {query}")

    def change(self, since: Mapping[str, datetime], until: Mapping[str, datetime]) -> LogSums:
        """The sums over the rows read that were logged up to `until`, less the sums over those logged up to `since`."""
        for table, view in LOGGED.items():
            if _is_all_new(since):
                query = _rows(table, until[table], "event_id, number, 1 AS sign")
            else:
                query = _rows_of_both(table, since[table], until[table])
            self._connection.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS {query}")
        deferred = any(file.first_mode == DEFERRED for file in self._tables["decisions"].files)
        create_outcome_views(self._connection, self._events.durations, deferred)
        versions = self._versions()
        return LogSums(versions, self._reward_outcomes() | self._decision_outcomes(versions))

    def _versions(self) -> pa.Table:
        query = queries.version_sums(self._events.rewarded, self._events.value)
        parameters = self._events.default | self._events.reward_parameters()
        rows = self._connection.execute(query, parameters).fetchall()
        columns = list(zip(*rows, strict=True)) or [()] * len(VERSION_SUMS)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, VERSION_SUMS, strict=True)]
        return pa.table(arrays, VERSION_SUMS)

    def _reward_outcomes(self) -> dict[str, int]:
        parameters = self._events.durations | {"used": self._events.used_names}
        rewards = self._connection.execute(queries.REWARD_OUTCOMES, parameters).fetchall()
        return {name[2:]: count for name, count in rewards}

    def _decision_outcomes(self, versions: pa.Table) -> dict[str, int]:
        counts = {name: sum(versions[name].to_pylist()) for name in ("interactions", "ignored", "shadowed")}
        shown = counts["interactions"] + counts["ignored"]
        [(eligible,)] = self._connection.execute(queries.ELIGIBLE).fetchall()
        return {"shown": shown, "shadow": counts["shadowed"], "inactive": eligible - shown}


def _is_all_new(since: Mapping[str, datetime]) -> bool:
    """Whether nothing was added up before."""
    return set(since.values()) == {EPOCH}


def _rows(table: str, until: datetime, columns: str) -> str:
    """SQL of the rows up to a time."""
    return f"""SELECT * EXCLUDE (event_id, number), {columns}
        FROM stored_{table} WHERE logged_at <= {queries.sql_time(until)}"""


def _rows_of_both(table: str, since: datetime, until: datetime) -> str:
    """SQL of the rows up to each of two times, those up to the first with the sign -1.

    The two get different event ids and numbers, so that one query adds them up as rows of different events.
    """
    now = _rows(table, until, "'+' || event_id AS event_id, number, 1 AS sign")
    before = _rows(table, since, "'-' || event_id AS event_id, ~number AS number, -1 AS sign")
    return f"{now} UNION ALL {before}"
