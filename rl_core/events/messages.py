"""The valid events of messages, and the invalid ones: a bad event does not discard the others."""

from collections.abc import Callable, Sequence
from datetime import datetime

import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.json_format import single_events

Read = Callable[[Sequence[bytes], Sequence[datetime] | None], pa.Table]  # of messages and times, or InvalidInput
Letters = list[tuple[str, bytes]]  # what is wrong, and the message or the event


def valid_events(
    read: Read, payloads: Sequence[bytes], received_at: Sequence[datetime] | None
) -> tuple[list[pa.Table], Letters]:
    """The valid events of some messages, in order, and the dead letters.

    A message without a valid event is a dead letter; of other messages, only the invalid events are.
    """
    try:
        return [read(payloads, received_at)], []
    except InvalidInput as error:
        reason = str(error)
    if len(payloads) == 1:
        valid, invalid = _single_events(read, payloads[0], received_at)
        return (valid, invalid) if valid else ([], [(reason, payloads[0])])
    valid, invalid, middle = [], [], len(payloads) // 2
    for half in (slice(middle), slice(middle, None)):
        events, letters = valid_events(read, payloads[half], received_at and received_at[half])
        valid += events
        invalid += letters
    return valid, invalid


def _single_events(
    read: Read, message: bytes, received_at: Sequence[datetime] | None
) -> tuple[list[pa.Table], Letters]:
    """The valid events of a message, and the others."""
    valid, invalid = [], []
    for event in single_events(message):
        try:
            valid.append(read([event], received_at))
        except InvalidInput as error:
            invalid.append((str(error), event))
    return valid, invalid
