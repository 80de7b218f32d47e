"""Events that were received on this machine and wait to be logged: in outboxes and in the bus."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import orjson

from banditloop.rl_core.backends.local.bus import LocalBus

HEADER_BYTES = 20  # of an outbox file: the offset up to which it is published (see serving/outbox.py)


def waiting_since(bus: LocalBus, outbox: Path, topic: str) -> datetime | None:
    """The earliest time at which an event that is not logged yet was received; None if nothing waits.

    Outboxes are read first: an event that is published meanwhile is found in the bus.
    """
    times = list(_unpublished(outbox))
    for payload, received_at in bus.unhandled(topic):
        times += _received(payload) or [received_at]
    return min(times, default=None)


def _unpublished(outbox: Path) -> Iterator[datetime]:
    """When the first unpublished events of each outbox file were received."""
    for path in outbox.glob("*.events"):
        try:
            with path.open("rb") as file:
                header = file.read(HEADER_BYTES)
                file.seek(int(header) if header.strip().isdigit() else HEADER_BYTES)
                line = file.readline().strip()
                yield from _received(b"[" + line[line.find(b"{") :] + b"]")  # a checksum stands before the events
        except FileNotFoundError:  # published and removed
            continue


def _received(payload: bytes) -> list[datetime]:
    """The times in a JSON array of events; none where it is invalid, or they have none."""
    try:
        return [datetime.fromisoformat(event["received_at"]) for event in orjson.loads(payload)]
    except (ValueError, TypeError, KeyError):
        return []
