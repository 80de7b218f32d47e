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


def make_room(connections: Iterable[Any], limit: int, newcomer: Any) -> None:
    """Give up connections that wait for their clients, until there are no more than `limit`.

    Those that were never answered go first, and of them the ones that have waited the longest. A connection whose
    request is complete is never given up; if that holds for all others, the newcomer is.
    """
    remaining = [connection for connection in connections if not connection.transport.is_closing()]
    excess = len(remaining) - limit
    if excess <= 0:
        return
    waiting = [c for c in remaining if c.waiting_since is not None and c is not newcomer]
    waiting.sort(key=lambda connection: (connection.was_answered, connection.waiting_since))
    for connection in waiting[: excess + int(FREED_FRACTION * limit)] or [newcomer]:
        connection.give_up()
