"""How many connections the endpoint keeps, and which it closes when there are more."""

import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MAX_CONNECTIONS, MAX_BACKLOG = 2_000, 2_048
RESERVED_FILES = 20  # file descriptors for outboxes, new policies and the publisher
FREED_FRACTION = 0.05  # closed at once, so that not every new connection has to search for the one to close


def connection_limits() -> tuple[int, int]:
    """The number of connections to keep, and to accept at once, so that file descriptors never run out."""
    spare = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - len(list(Path("/dev/fd").iterdir())) - RESERVED_FILES
    return max(1, min(MAX_CONNECTIONS, spare // 2)), max(1, min(MAX_BACKLOG, spare // 4))


def make_room(connections: Iterable[Any], limit: int) -> None:
    """Give up the connections that have waited for their clients the longest, until there are no more than `limit`.

    A connection whose request is complete is never given up.
    """
    remaining = [connection for connection in connections if not connection.transport.is_closing()]
    waiting = [connection for connection in remaining if connection.waiting_since is not None]
    waiting.sort(key=lambda connection: connection.waiting_since)
    excess = len(remaining) - limit
    for connection in waiting[: excess + int(FREED_FRACTION * limit) if excess > 0 else 0]:
        connection.give_up()
