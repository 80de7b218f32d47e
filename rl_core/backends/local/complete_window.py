"""Complete windows of the local log: those whose interactions no later event can change."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from banditloop.rl_core.backends.local import event_log, queries
from banditloop.rl_core.backends.local.event_log import END_OF_TIME, MICROSECOND, EventLog
from banditloop.rl_core.backends.local.event_table import EPOCH
from banditloop.rl_core.backends.local.file_slices import slices
from banditloop.rl_core.backends.local.key_hashes import hashes
from banditloop.rl_core.backends.local.log_connection import DEFERRED, create_outcome_views, query_connection
from banditloop.rl_core.backends.local.queries import sql_time
from banditloop.rl_core.backends.local.table_snapshot import DataFile, Snapshot
from banditloop.rl_core.events.schema import MAX_LEAD
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports.warehouse import TRAINED_AHEAD

SHOWN_MODES = ("external", "online", "simulated")  # whose decisions are interactions
OPEN_ROWS = 200_000  # decisions that are searched at a time for the first open one
log = logging.getLogger("banditloop.warehouse")


def complete_window(
    events: EventLog, since: datetime | None, waiting_since: Callable[[], datetime | None]
) -> tuple[Window, float]:
    """The longest complete window after `since`, and for how many seconds it stays the same if no event comes.

    waiting_since: returns when the earliest event that is not logged yet was received.
    """
    now = datetime.now(UTC)
    if since and since > now + MAX_LEAD:
        log.error(TRAINED_AHEAD, since)
        since = None
    since_or_start = since or EPOCH
    present = now + MAX_LEAD / 2  # less than MAX_LEAD, lest a writer whose clock is behind add rows before it
    waiting = waiting_since()
    closed = max(min(waiting or now, now), now - event_log.MAX_WAIT)
    events.wait()
    tables = events.snapshots()  # of one moment: what is logged meanwhile is still open
    still_open = _still_open(events, tables, since_or_start, closed, present)
    until, rows = _counted(events, tables["decisions"], since_or_start, still_open or present)
    closes = (still_open - closed + events.attribution).total_seconds() if still_open else END_OF_TIME.timestamp()
    return Window(since=since, until=until or since_or_start, interactions=rows), 0.0 if waiting else closes


def _still_open(
    events: EventLog, tables: dict[str, Snapshot], since: datetime, closed: datetime, present: datetime
) -> datetime | None:
    """The time just before the first open decision, whose interaction may still change; None if there is none.

    Decisions are read in the order of their logging, some files at a time, until one is found.
    """
    open_since, first_open = max(since, closed - events.attribution), END_OF_TIME
    decisions, rewards = tables["decisions"].logged(open_since, present), tables["rewards"].files
    for files in slices(decisions, lambda file: file.first_logged, OPEN_ROWS):
        if min(file.first_logged for file in files) > first_open:
            break
        first_open = min(first_open, _first_open(events, files, rewards, open_since, present))
    return None if first_open == END_OF_TIME else first_open - MICROSECOND


def _first_open(
    events: EventLog, files: list[DataFile], rewards: list[DataFile], since: datetime, present: datetime
) -> datetime:
    """The `logged_at` of the first open decision in some files; END_OF_TIME if there is none."""
    with query_connection(events.database) as connection:
        events.create_view(connection, "all_decisions", "decisions", files)
        logged = f"logged_at > {sql_time(since)} AND logged_at <= {sql_time(present)}"
        query = f"FROM all_decisions WHERE {logged} AND mode NOT IN ('shadow', 'simulated')"
        connection.execute(f"CREATE TEMP TABLE logged_decisions AS {query}")
        if not events.settles_first:
            [(first,)] = connection.execute("SELECT epoch_us(min(logged_at)) FROM logged_decisions").fetchall()
            return queries.time_of(first) or END_OF_TIME
        ids = hashes(connection.table("logged_decisions"), "event_id")
        events.create_view(connection, "rewards", "rewards", events.files_with(connection, "rewards", rewards, ids))
        create_outcome_views(connection, events.durations, any(file.first_mode == DEFERRED for file in files))
        unsettled = "number NOT IN (SELECT number FROM rewarded)"
        query = f"WITH {events.rewarded} SELECT epoch_us(min(logged_at)) FROM eligible WHERE {unsettled}"
        [(first,)] = connection.execute(query, events.reward_parameters(since)).fetchall()
    return queries.time_of(first) or END_OF_TIME


def _counted(events: EventLog, decisions: Snapshot, since: datetime, until: datetime) -> tuple[datetime | None, int]:
    """The `logged_at` of the last interaction of a window, and the number of its interactions.

    Files are not read where their statistics in the log say that every row is an interaction.
    """
    files = decisions.logged(since, until)
    are_counted = [not events.ignores and _is_counted(file, since, until) for file in files]
    whole = [file for file, is_counted in zip(files, are_counted, strict=True) if is_counted]
    last, rows = max((file.last_logged for file in whole), default=None), sum(file.rows for file in whole)
    unclear = [file for file, is_counted in zip(files, are_counted, strict=True) if not is_counted]
    if not unclear:
        return last, rows
    last_read, rows_read = _counted_in(events, unclear, since, until)
    return max(filter(None, (last, last_read)), default=None), rows + rows_read


def _is_counted(file: DataFile, since: datetime, until: datetime) -> bool:
    """Whether every row of a file is an interaction of a window, where decisions without a reward count as such."""
    same_mode = file.first_mode == file.last_mode and file.first_mode in SHOWN_MODES
    return same_mode and since < file.first_logged and file.last_logged <= until


def _counted_in(
    events: EventLog, files: list[DataFile], since: datetime, until: datetime
) -> tuple[datetime | None, int]:
    """The result of `_counted` for some files, by reading them."""
    parameters = {"since": since, "until": until}
    query = (
        "SELECT epoch_us(max(logged_at)), count(*) FROM decisions d WHERE logged_at > $since AND logged_at <= $until"
    )
    if events.ignores:
        query = f"WITH {events.rewarded} {query.replace('count(*)', queries.REWARDED_COUNT)}"
        parameters |= events.reward_parameters(since)
    with events.connection(files) as connection:
        [(last, rows)] = connection.execute(query, parameters).fetchall()
    return queries.time_of(last), rows
