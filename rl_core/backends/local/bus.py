"""The local bus: one durable SQLite queue (litequeue) per topic."""

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import RLock

from filelock import FileLock
from litequeue import LiteQueue, Message

from banditloop.rl_core.backends.delivery import deliver_messages
from banditloop.rl_core.ports import Handler

BATCH_MESSAGES = 200
PAGE_BYTES, CHECKPOINT_PAGES = 16 << 10, 64  # large pages for large messages; short checkpoints, which block nobody
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
        self._queues: dict[str, LiteQueue] = {}
        self._lock = RLock()

    def publish(self, topic: str, payload: bytes) -> None:
        with self._lock:
            self._queue(topic).put(payload.decode("latin-1"))

    def subscribe(self, topics: Sequence[str]) -> AbstractContextManager[None]:
        return nullcontext()  # nothing to prefetch: the messages are on this machine

    def deliver(self, topic: str, handler: Handler) -> int:
        with self._lock:
            queue = self._queue(topic)
            for expired in list(queue.list_locked(self._lease_seconds)):
                queue.retry(expired.message_id)
            messages: list[Message] = []
            while len(messages) < BATCH_MESSAGES and (message := queue.pop()) is not None:
                messages.append(message)
        if messages:
            self._handle(topic, messages, handler)
        return len(messages)

    def dead_letter(self, topic: str, reason: str, payload: bytes) -> None:
        line = " ".join(reason.split()).encode("latin-1", "backslashreplace")
        self.publish(f"{topic}.dead", line + b"\n" + payload)

    def dead_letters(self, topic: str) -> list[tuple[str, bytes]]:
        if not self._path(f"{topic}.dead").exists():
            return []
        with self._lock:
            queue = self._queue(f"{topic}.dead")
            rows = queue.conn.execute(f"SELECT data FROM {queue.table} ORDER BY message_id")
            letters = [row["data"].split("\n", 1) for row in rows]
        return [(reason, payload.encode("latin-1")) for reason, payload in letters]

    def replay(self, topic: str) -> int:
        if not self._path(f"{topic}.dead").exists():
            return 0
        with self._lock:
            queue, replayed = self._queue(f"{topic}.dead"), 0
            for locked in list(queue.list_locked(0)):  # left by a replay that was killed
                queue.retry(locked.message_id)
            while (letter := queue.pop()) is not None:
                self._queue(topic).put(letter.data.split("\n", 1)[1])
                queue.done(letter.message_id)
                replayed += 1
            queue.prune()
        return replayed

    def _handle(self, topic: str, messages: list[Message], handler: Handler) -> None:
        deliver_messages(
            messages,
            handle=lambda batch: handler([message.data.encode("latin-1") for message in batch]),
            acknowledge=lambda batch: self._acknowledge(topic, batch),
            dead_letter=lambda message, reason: self.dead_letter(topic, reason, message.data.encode("latin-1")),
            release=lambda batch: None,  # its lock expires with the lease
            log=log.getChild(topic),
        )

    def _acknowledge(self, topic: str, messages: list[Message]) -> None:
        queue = self._queue(topic)
        with self._lock, queue.transaction(mode="IMMEDIATE"):
            for message in messages:
                queue.done(message.message_id)
            queue.prune()

    def _path(self, topic: str) -> Path:
        return self._root / f"{topic}.sqlite"

    def _queue(self, topic: str) -> LiteQueue:
        with self._lock:
            if topic not in self._queues:
                self._root.mkdir(parents=True, exist_ok=True)
                # SQLite's timeout does not cover the creation of a new queue by several processes
                with FileLock(self._root / "opening.lock"):
                    self._queues[topic] = _open(self._path(topic))
            return self._queues[topic]


def _open(path: Path) -> LiteQueue:
    connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    queue = LiteQueue(connection)
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    return queue
