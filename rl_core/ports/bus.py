"""The port of messages between processes."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

Handler = Callable[..., object]  # handles the payloads of one or more messages, or raises


class Bus(Protocol):
    """Topics of messages between processes, with at-least-once delivery.

    A published message is kept until it is acknowledged or becomes a dead letter (on Pub/Sub, for at most 7 days).
    Because a crash can come between handling and acknowledgement, a message may be delivered more than once: handlers
    must be idempotent.
    """

    def publish(self, topic: str, payload: bytes) -> None:
        """Add a message to a topic. When this returns, the message is durable."""

    def subscribe(self, topics: Sequence[str]) -> AbstractContextManager[None]:
        """Prefetch messages of these topics while the context is open; `deliver` hands them over.

        When the context closes, prefetched messages that were not delivered are released at once for redelivery.
        """

    def deliver(self, topic: str, handler: Handler, timed: bool = False) -> int:
        """Pass the next waiting messages to `handler` and return how many they were; does not wait for any.

        The handler gets a list of payloads; if `timed`, also the list of times at which the bus received them.

        A delivered message is leased: no other process gets it until its lease ends, after bus.lease_seconds (it may be
        extended while the message is handled). The order of publication is kept where possible, but not guaranteed.
        When the handler returns, the messages are acknowledged. When it raises on several messages, each half of them
        is passed to it again, down to single messages. When it raises on a single one:

        * InvalidInput makes the message a dead letter, with the error as the reason;
        * any other error leaves it to be redelivered when its lease ends, with no limit on the number of attempts (on
          Pub/Sub it is a dead letter after a hundred, over most of a day). After many such errors, batches are no
          longer halved: one that fails is redelivered whole.

        A message whose process died is redelivered when its lease ends, too.
        """

    def dead_letter(self, topic: str, reason: str, payload: bytes) -> None:
        """Keep a message that cannot be handled, outside of delivery, until it is replayed."""

    def dead_letters(self, topic: str) -> list[tuple[str, bytes]]:
        """The dead letters of a topic as (reason, payload), oldest first."""

    def prune_dead_letters(self, topic: str, before: datetime, dry_run: bool = False) -> int:
        """Remove the dead letters of a topic that are older than a time; returns how many. dry_run: only count them."""

    def replay(self, topic: str) -> int:
        """Publish the dead letters of a topic again as new messages; returns how many there were.

        Delivery is at least once, too: after a crash, a letter may be both published and still among the dead letters.
        """
