"""The bus as one SQLite queue per topic (litequeue), which survives the processes that use it."""

from pathlib import Path
from threading import RLock

from litequeue import LiteQueue, Message

from rl_core.backends import Handler

ATTEMPTS = 5
MESSAGES_AT_ONCE = 200


class LocalBus:
    """See rl_core.backends.Bus.

    A queue's text is a header, a newline and the payload: the number of failed attempts or, for a dead letter, the
    reason. Latin-1 carries any bytes through SQLite's text and leaves JSON readable.
    """

    def __init__(self, root: Path, lease_seconds: float = 10.0) -> None:
        self._root = root
        self._lease_seconds = lease_seconds
        self._queues: dict[str, LiteQueue] = {}
        self._lock = RLock()

    def publish(self, topic: str, payload: bytes) -> None:
        with self._lock:
            self._queue(topic).put(_join("0", payload))

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

    def dead_letters(self, topic: str) -> list[tuple[str, bytes]]:
        with self._lock:
            queue = self._queue(f"{topic}.dead")
            rows = queue.conn.execute(f"SELECT data FROM {queue.table} ORDER BY message_id")
            return [_split(row["data"]) for row in rows]

    def _handle(self, topic: str, messages: list[Message], handler: Handler) -> None:
        try:
            handler([_split(message.data)[1] for message in messages])
        except Exception as error:
            if len(messages) > 1:
                for message in messages:
                    self._handle(topic, [message], handler)
            else:
                self._fail(topic, messages[0], f"{type(error).__name__}: {error}")
        else:
            self._finish(self._queue(topic), messages)

    def _fail(self, topic: str, message: Message, reason: str) -> None:
        """Keep the message with one more attempt on it, to come again after a lease, or as a dead letter."""
        queue = self._queue(topic)
        failed, payload = _split(message.data)
        attempts = int(failed) + 1
        if attempts == ATTEMPTS:
            self._queue(f"{topic}.dead").put(_join(" ".join(reason.split()), payload))
            self._finish(queue, [message])
        else:
            queue.conn.execute(
                f"UPDATE {queue.table} SET data = ? WHERE message_id = ?",
                (_join(str(attempts), payload), message.message_id),
            )

    def _finish(self, queue: LiteQueue, messages: list[Message]) -> None:
        with self._lock, queue.transaction(mode="IMMEDIATE"):
            for message in messages:
                queue.done(message.message_id)
            queue.prune()

    def _queue(self, topic: str) -> LiteQueue:
        with self._lock:
            if topic not in self._queues:
                self._root.mkdir(parents=True, exist_ok=True)
                self._queues[topic] = LiteQueue(self._root / f"{topic}.sqlite", timeout=30)
            return self._queues[topic]


def _join(header: str, payload: bytes) -> str:
    return f"{header}\n{payload.decode('latin-1')}"


def _split(text: str) -> tuple[str, bytes]:
    header, payload = text.split("\n", 1)
    return header, payload.encode("latin-1")
