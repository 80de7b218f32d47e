"""Times in queries of the log."""

from datetime import UTC, datetime

from banditloop.rl_core.ports.warehouse import MAX_SKEW

EPOCH, END_OF_TIME = datetime.fromtimestamp(0, UTC), datetime(9999, 1, 1, tzinfo=UTC)


def logged_since(*times: datetime) -> datetime:
    """Lower bound of logged_at for events that belong to events of these times (clocks differ by up to MAX_SKEW)."""
    return max(EPOCH + MAX_SKEW, min(times)) - MAX_SKEW
