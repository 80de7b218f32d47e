"""The bus as one SQLite queue per topic (litequeue), which survives the processes that use it."""

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import RLock

from filelock import FileLock
from litequeue import LiteQueue, Message

from rl_core.backends import Handler
from rl_core.errors import InvalidInput

MESSAGES_AT_ONCE = 200
PAGE_BYTES, CHECKPOINT_PAGES = 16 << 10, 64  # for large messages, and checkpoints too short to be in anybody's way
log = logging.getLogger("banditloop.bus")


class LocalBus:
    """See rl_core.backends.Bus.

    A message that was not handled stays locked, and a lock older than the lease is released. Latin-1 carries any bytes
    through SQLite's text and leaves JSON readable. A dead letter is the reason, a newline and the payload.
    """

    def __init__(self, root: Path, lease_seconds: float) -> None:
        self._root = root
        self._lease_seconds = lease_seconds
        self._queues: dict[str, LiteQueue] = {}
        self._lock = RLock()

    def publish(self, topic: str, payload: bytes) -> None:
        with self._lock:
            self._queue(topic).put(payload.decode("latin-1"))

    def receiving(self, topics: Sequence[str]) -> AbstractContextManager[None]:
        return nullcontext()  # they are on this machine already

    def deliver(self, topic: str, handler: Handler) -> int:
        with self._lock:
            queue = self._queue(topic)
            for abandoned in list(queue.list_locked(self._lease_seconds)):
                queue.retry(abandoned.message_id)
            messages: list[Message] = []
            while len(messages) < MESSAGES_AT_ONCE and (message := queue.pop()) is not None:
                messages.append(message)
        if messages:
            self._handle(topic, messages, handler)
        return len(messages)

    def give_up(self, topic: str, reason: str, payload: bytes) -> None:
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
            for abandoned in list(queue.list_locked(0)):  # what a replay that was killed had in hand
                queue.retry(abandoned.message_id)
            while (letter := queue.pop()) is not None:
                self._queue(topic).put(letter.data.split("\n", 1)[1])
                queue.done(letter.message_id)
                replayed += 1
            queue.prune()
        return replayed

    def _handle(self, topic: str, messages: list[Message], handler: Handler) -> None:
        try:
            handler([message.data.encode("latin-1") for message in messages])
        except Exception as error:
            if len(messages) > 1:
                for message in messages:
                    self._handle(topic, [message], handler)
            elif isinstance(error, InvalidInput):
                self.give_up(topic, str(error), messages[0].data.encode("latin-1"))
                self._finish(topic, messages)
            else:
                log.warning("%s: a message comes again in %g s: %r", topic, self._lease_seconds, error)
        else:
            self._finish(topic, messages)

    def _finish(self, topic: str, messages: list[Message]) -> None:
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
                # SQLite cannot be told to wait for a new queue's first write
                with FileLock(self._root / "opening.lock"):
                    self._queues[topic] = _open(self._path(topic))
            return self._queues[topic]


def _open(path: Path) -> LiteQueue:
    connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    queue = LiteQueue(connection)
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    return queue
