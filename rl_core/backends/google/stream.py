"""Messages that Pub/Sub sends as they come, without being asked for each."""

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Event
from typing import NamedTuple

from google.api_core.exceptions import GoogleAPIError
from google.cloud.pubsub_v1 import SubscriberClient
from google.pubsub_v1.types import StreamingPullRequest

SECONDS_TO_END = 2.0
SIGN_OF_LIFE_SECONDS = 30.0  # Pub/Sub ends a stream that says nothing for a minute


class Received(NamedTuple):
    """A message and the name by which to acknowledge it."""

    ack_id: str
    data: bytes


class Stream:
    """The messages of a subscription that came and wait to be taken, in order. Meanwhile their lease is prolonged.

    Pub/Sub ends any stream now and then: whoever takes next is told why, and it begins anew. Google's own subscriber
    cancels its streams, to which the emulator then goes on sending; this one tells Pub/Sub that it ends.
    """

    def __init__(self, client: SubscriberClient, subscription: str, ahead: int, lease_seconds: int) -> None:
        self._client, self._subscription = client, subscription
        self._ahead, self._lease_seconds = ahead, lease_seconds
        self._waiting: SimpleQueue[Received] = SimpleQueue()
        self._leased: set[str] = set()
        self._closing, self._thread = Event(), ThreadPoolExecutor(1)
        self._end = self._begin()

    @contextmanager
    def take(self, most: int) -> Iterator[list[Received]]:
        """What waits, to be acknowledged or not before the context is left: then its lease is prolonged no more."""
        if self._end.done():
            end, self._end = self._end, self._begin()
            end.result()  # raises what ended it
        messages = self._left(most)
        try:
            yield messages
        finally:
            self._leased.difference_update(message.ack_id for message in messages)

    def close(self) -> None:
        """End it. What nobody took comes again at once or, where Pub/Sub is away, with its lease."""
        self._closing.set()
        wait([self._end], SECONDS_TO_END)
        self._call.cancel()
        self._thread.shutdown()
        if left := [message.ack_id for message in self._left()]:
            request = {"subscription": self._subscription, "ack_ids": left, "ack_deadline_seconds": 0}
            with suppress(GoogleAPIError):
                self._client.modify_ack_deadline(request=request, retry=None, timeout=SECONDS_TO_END)

    def _begin(self) -> Future[None]:
        routing = [("x-goog-request-params", f"subscription={self._subscription}")]
        self._call = self._client.streaming_pull(self._requests(), timeout=None, metadata=routing)
        return self._thread.submit(self._receive)

    def _receive(self) -> None:
        for response in self._call:
            for message in response.received_messages:
                self._leased.add(message.ack_id)
                self._waiting.put(Received(message.ack_id, message.message.data))

    def _requests(self) -> Iterator[StreamingPullRequest]:
        """What Pub/Sub is told. With these, the stream ends."""
        seconds = self._lease_seconds
        yield StreamingPullRequest(
            subscription=self._subscription,
            stream_ack_deadline_seconds=seconds,
            max_outstanding_messages=self._ahead,
        )
        while not self._closing.wait(min(seconds / 3, SIGN_OF_LIFE_SECONDS)):
            ids = list(self._leased.copy())
            yield StreamingPullRequest(modify_deadline_ack_ids=ids, modify_deadline_seconds=[seconds] * len(ids))

    def _left(self, most: float = math.inf) -> list[Received]:
        found: list[Received] = []
        with suppress(Empty):
            while len(found) < most:
                found.append(self._waiting.get_nowait())
        return found
