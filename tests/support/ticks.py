"""Ticks, as Cloud Scheduler publishes them, but every few seconds."""

import contextlib
import threading
from collections.abc import Iterator

from google.cloud import pubsub_v1

from banditloop.rl_core.backends.google.clients import credentials


@contextlib.contextmanager
def ticking(topic: str, seconds: float, message: bytes = b"{}") -> Iterator[list[bytes]]:
    """Publish a message to a topic every so many seconds; yields those that were published."""
    published: list[bytes] = []
    stopped = threading.Event()

    def tick() -> None:
        publisher = pubsub_v1.PublisherClient(credentials=credentials())
        while not stopped.wait(seconds):
            publisher.publish(topic, message).result()
            published.append(message)

    ticker = threading.Thread(target=tick)
    ticker.start()
    try:
        yield published
    finally:
        stopped.set()
        ticker.join()
