"""The local bus: one durable SQLite queue (litequeue) per topic."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock

from litequeue import LiteQueue, Message, MessageStatus

from banditloop.rl_core.backends.delivery import deliver_messages
from banditloop.rl_core.backends.local.queue_file import QueueFile
from banditloop.rl_core.ports import Handler

BATCH_MESSAGES = 200
log = logging.getLogger("banditloop.bus")


class LocalBus:
    """See banditloop.rl_core.ports.Bus.

    A delivered message stays locked until it is acknowledged; locks older than the lease are released. Payloads are
    stored as Latin-1 text, which represents any bytes and keeps ASCII JSON readable. A dead letter is a message in the
    queue `<topic>.dead`: the reason, a newline and the payload.
    """

    def __init__(self, root: Path, lease_seconds: float) -> None:
        self._root = root
        self._lease_seconds = lease_seconds
        self._queues: dict[str, QueueFile] = {}
        self._lock = RLock()

    def publish(self, topic: str, payload: bytes) -> None:
        while True:
            with self._queue(topic) as queue:
                queue.put(payload.decode("latin-1"))
            if self._queues[topic].is_current():  # else another process has replaced the file: publish again
                return

    def subscribe(self, topics: Sequence[str]) -> AbstractContextManager[None]:
        return nullcontext()  # nothing to prefetch: the messages are on this machine

    def deliver(self, topic: str, handler: Handler, timed: bool = False) -> int:
        with self._queue(topic) as queue:
            for expired in list(queue.list_locked(self._lease_seconds)):
                queue.retry(expired.message_id)
            messages: list[Message] = []
            while len(messages) < BATCH_MESSAGES and (message := queue.pop()) is not None:
                messages.append(message)
        if messages:
            self._handle(topic, messages, handler, timed)
        return len(messages)

    def unhandled(self, topic: str) -> list[tuple[bytes, datetime]]:
        """The messages that wait or are being handled, with the times at which they were published."""
        if not self._path(topic).exists():
            return []
        with self._queue(topic) as queue:
            rows = queue.conn.execute(
                f"SELECT data, in_time FROM {queue.table} WHERE status IN (?, ?)",
                (MessageStatus.READY.value, MessageStatus.LOCKED.value),
            )
            return [(row["data"].encode("latin-1"), _time(row["in_time"])) for row in rows]

    def dead_letter(self, topic: str, reason: str, payload: bytes) -> None:
        line = " ".join(reason.split()).encode("latin-1", "backslashreplace")
        self.publish(f"{topic}.dead", line + b"\n" + payload)

    def dead_letters(self, topic: str) -> list[tuple[str, bytes]]:
        if not self._path(f"{topic}.dead").exists():
            return []
        with self._queue(f"{topic}.dead") as queue:
            rows = queue.conn.execute(f"SELECT data FROM {queue.table} ORDER BY message_id")
            letters = [row["data"].partition("\n") for row in rows]
        return [(reason, payload.encode("latin-1")) for reason, _, payload in letters]

    def prune_dead_letters(self, topic: str, before: datetime, dry_run: bool = False) -> int:
        if not self._path(f"{topic}.dead").exists():
            return 0
        with self._queue(f"{topic}.dead") as queue:
            old = f"FROM {queue.table} WHERE in_time < {int(before.timestamp() * 1e9)}"
            [count] = queue.conn.execute(f"SELECT count(*) {old}").fetchone()
            if count and not dry_run:
                queue.conn.execute(f"DELETE {old}")
                queue.conn.execute("VACUUM")
        return count

    def replay(self, topic: str) -> int:
        if not self._path(f"{topic}.dead").exists():
            return 0
        replayed = 0
        with self._queue(f"{topic}.dead") as queue:
            for locked in list(queue.list_locked(0)):  # left by a replay that was killed
                queue.retry(locked.message_id)
            while (letter := queue.pop()) is not None:
                self.publish(topic, letter.data.partition("\n")[2].encode("latin-1"))
                queue.done(letter.message_id)
                replayed += 1
            queue.prune()
        return replayed

    def _handle(self, topic: str, messages: list[Message], handler: Handler, timed: bool) -> None:
        def handle(batch: list[Message]) -> None:
            times = [[_time(message.in_time) for message in batch]] if timed else []
            handler([message.data.encode("latin-1") for message in batch], *times)

        deliver_messages(
            messages,
            handle,
            acknowledge=lambda batch: self._acknowledge(topic, batch),
            dead_letter=lambda message, reason: self.dead_letter(topic, reason, message.data.encode("latin-1")),
            release=lambda batch: None,  # its lock expires with the lease
            log=log.getChild(topic),
        )

    def _acknowledge(self, topic: str, messages: list[Message]) -> None:
        with self._queue(topic) as queue, queue.transaction(mode="IMMEDIATE"):
            for message in messages:
                queue.done(message.message_id)
            queue.prune()

    def _path(self, topic: str) -> Path:
        return self._root / f"{topic}.sqlite"

    @contextlib.contextmanager
    def _queue(self, topic: str) -> Iterator[LiteQueue]:
        with self._lock:
            if topic not in self._queues:
                self._queues[topic] = QueueFile(self._path(topic))
            with self._queues[topic].use() as queue:
                yield queue


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
