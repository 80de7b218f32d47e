"""Looks: sums over the whole log that read only its new rows, and the earlier rows of the same events.

What was added up before is kept in a file beside the log, with the times up to which it holds. Nothing depends on the
file: where it is lost, or the log has lost or moved rows since, everything is added up again.
"""

import threading
from datetime import UTC, datetime
from typing import NamedTuple

from banditloop.rl_core.backends.local.event_log import END_OF_TIME, EventLog
from banditloop.rl_core.backends.local.kept_sums import NOTHING, KeptSums, SumsFile
from banditloop.rl_core.backends.local.log_connection import query_connection
from banditloop.rl_core.backends.local.log_sums import LogSums
from banditloop.rl_core.backends.local.sums_query import NewRows, SumsQuery
from banditloop.rl_core.backends.local.table_snapshot import Snapshot
from banditloop.rl_core.events.schema import KEYS, MAX_LEAD, SCHEMA_VERSION

MAX_ROWS_BEHIND = 1_000  # by which the file may be behind the log


class Look(NamedTuple):
    """Sums over the log, and the tables as they were."""

    sums: LogSums
    tables: dict[str, Snapshot]


class Looks:
    """Looks at one log. Several processes may look at once."""

    def __init__(self, events: EventLog) -> None:
        self._events, self._lock = events, threading.Lock()
        depends_on = [events.reward.model_dump(), events.used_names, events.durations, SCHEMA_VERSION]
        self._file = SumsFile(events.root / "sums", depends_on)
        self._kept, self._rows_in_file = NOTHING, 0

    def look(self) -> Look:
        """The sums over everything that is logged."""
        with self._lock, query_connection(self._events.database) as connection:
            tables = self._events.snapshots()
            query = SumsQuery(connection, self._events, tables)
            kept, present = self._latest(), datetime.now(UTC) + MAX_LEAD
            new = query.new_rows(kept.until, present)
            if _has_changed(kept, new):
                kept = NOTHING
                new = query.new_rows(kept.until, present)
            if not any(rows.added for rows in new.values()):
                return Look(kept.sums, tables)
            query.read_events(kept.until)
            until = {table: rows.last or kept.until[table] for table, rows in new.items()}
            sums = kept.sums.plus(query.change(kept.until, until))
            rows = {table: kept.rows[table] + rows.added - rows.ahead for table, rows in new.items()}
            self._keep(KeptSums(until, rows, sums))
            if any(rows.ahead for rows in new.values()):
                sums = sums.plus(query.change(until, dict.fromkeys(KEYS, END_OF_TIME)))
            return Look(sums, tables)

    def _latest(self) -> KeptSums:
        """The sums of the last look, or else those of the file."""
        if self._kept is NOTHING:
            self._kept = self._file.read()
            self._rows_in_file = sum(self._kept.rows.values())
        return self._kept

    def _keep(self, kept: KeptSums) -> None:
        self._kept, rows = kept, sum(kept.rows.values())
        if not 0 <= rows - self._rows_in_file < MAX_ROWS_BEHIND:
            self._file.write(kept)
            self._rows_in_file = rows


def _has_changed(kept: KeptSums, new: dict[str, NewRows]) -> bool:
    """Whether rows that were added up are gone, or were moved, or so many are new that beginning anew is cheaper."""
    same = all(rows.before == kept.rows[table] for table, rows in new.items())
    return not same or sum(rows.added for rows in new.values()) > sum(kept.rows.values()) > 0
