"""Complete windows of the local log: those whose interactions no later event can change."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from banditloop.rl_core.backends.local import event_log, queries
from banditloop.rl_core.backends.local.event_log import END_OF_TIME, EventLog
from banditloop.rl_core.backends.local.event_table import EPOCH
from banditloop.rl_core.backends.local.table_snapshot import Snapshot
from banditloop.rl_core.events.schema import MAX_LEAD
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports.warehouse import AHEAD

log = logging.getLogger("banditloop.warehouse")


def complete_window(
    events: EventLog, since: datetime | None, waiting_since: Callable[[], datetime | None]
) -> tuple[Window, float]:
    """The longest complete window after `since`, and for how many seconds it stays the same if no event comes.

    waiting_since: tells when the earliest event was received that is not logged yet.
    """
    now = datetime.now(UTC)
    if since and since > now + MAX_LEAD:
        log.error(AHEAD, "the last training", since)
        since = None
    since_or_start = since or EPOCH
    present = now + MAX_LEAD / 2  # so that a writer whose clock differs does not store rows before it
    waiting = waiting_since()
    closed = max(min(waiting or now, now), now - event_log.MAX_WAIT)
    events.tables["rewards"].wait()
    decisions = events.snapshots()["decisions"]  # of one moment: what is logged meanwhile is still open
    still_open = _still_open(events, decisions, since_or_start, closed, present)
    until, rows = _counted(events, decisions, since_or_start, still_open or present)
    closes = (still_open - closed + events.attribution).total_seconds() if still_open else END_OF_TIME.timestamp()
    return Window(since=since, until=until or since_or_start, interactions=rows), 0.0 if waiting else closes


def _still_open(
    events: EventLog, decisions: Snapshot, since: datetime, closed: datetime, present: datetime
) -> datetime | None:
    """Just before the first decision whose interaction may still change; None if there is none."""
    settled = "AND d.number NOT IN (SELECT number FROM rewarded)" if events.reward.aggregation == "first" else ""
    open_since = max(since, closed - events.attribution)
    with events.connection(decisions.logged(open_since, present)) as connection:
        query = f"""WITH {events.rewarded} SELECT min(logged_at) - INTERVAL 1 MICROSECOND FROM eligible d
            WHERE logged_at > $since AND logged_at + to_microseconds($window) > $closed AND mode <> 'simulated'
            AND logged_at <= $present {settled}"""
        parameters = {"since": since, "closed": closed, "present": present} | events.reward_parameters(open_since)
        [(until,)] = connection.execute(query, parameters).fetchall()
    return until


def _counted(events: EventLog, decisions: Snapshot, since: datetime, until: datetime) -> tuple[datetime | None, int]:
    """When the last interaction of a window was logged, and their number."""
    parameters = {"since": since, "until": until}
    query = "SELECT max(logged_at), count(*) FROM decisions d WHERE logged_at > $since AND logged_at <= $until"
    if events.ignores:
        query = f"WITH {events.rewarded} {query.replace('count(*)', queries.REWARDED_COUNT)}"
        parameters |= events.reward_parameters(since)
    with events.connection(decisions.logged(since, until)) as connection:
        [(last, rows)] = connection.execute(query, parameters).fetchall()
    return last, rows
