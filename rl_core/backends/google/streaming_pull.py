"""Streaming pull from Pub/Sub: messages are prefetched into memory and their leases extended until they are taken."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Event
from typing import NamedTuple, Self

from google.api_core.exceptions import GoogleAPIError
from google.cloud.pubsub_v1 import SubscriberClient
from google.pubsub_v1 import types
from google.pubsub_v1.types import StreamingPullRequest

CLOSE_SECONDS = 2.0
KEEPALIVE_SECONDS = 30.0  # Pub/Sub closes a stream that is silent for a minute
MAX_ACK_IDS = 1000  # in a request, whose ids may have 512 KiB in all


class ReceivedMessage(NamedTuple):
    """A message, the id that acknowledges it, and the time at which it was published."""

    ack_id: str
    data: bytes
    received_at: datetime

    @classmethod
    def of(cls, received: types.ReceivedMessage) -> Self:
        """The parts of a Pub/Sub message that are used."""
        return cls(received.ack_id, received.message.data, received.message.publish_time)


class BatchLimits(NamedTuple):
    """The most messages and bytes of a batch, which may exceed the bytes by one message."""

    messages: int
    size: int


def requests_of(messages: Sequence[ReceivedMessage]) -> Iterator[list[str]]:
    """The messages' acknowledgement ids, in lists that each fit into one request."""
    for start in range(0, len(messages), MAX_ACK_IDS):
        yield [message.ack_id for message in messages[start : start + MAX_ACK_IDS]]


class StreamingPull:
    """The prefetched messages of a subscription, in order of arrival. Their leases are extended in the background.

    Pub/Sub closes every stream from time to time: the next `take` raises the reason and opens a new stream. Google's
    own subscriber cancels its streams, and the emulator keeps sending to a cancelled stream. This class half-closes
    the stream instead.
    """

    def __init__(self, client: SubscriberClient, subscription: str, batch: BatchLimits, lease_seconds: int) -> None:
        """batch: the most that `take` returns; twice as much is prefetched (the emulator sends everything)."""
        self._client, self._subscription = client, subscription
        self._batch, self._lease_seconds = batch, lease_seconds
        self._messages: SimpleQueue[ReceivedMessage] = SimpleQueue()
        self._leased: set[str] = set()
        self._closing, self._thread = Event(), ThreadPoolExecutor(1)
        self._receiving = self._open()

    @contextmanager
    def take(self) -> Iterator[list[ReceivedMessage]]:
        """A batch of waiting messages, to be acknowledged inside the context: afterwards their leases expire."""
        if self._receiving.done():
            previous, self._receiving = self._receiving, self._open()
            previous.result()  # raises the reason
        messages = self._pop(self._batch)
        try:
            yield messages
        finally:
            self._leased.difference_update(message.ack_id for message in messages)

    def close(self) -> None:
        """Close the stream and release the remaining messages.

        They are redelivered at once or, if Pub/Sub does not respond, when their leases expire.
        """
        self._closing.set()
        wait([self._receiving], CLOSE_SECONDS)
        self._call.cancel()
        self._thread.shutdown()
        for ack_ids in requests_of(self._pop()):
            request = {"subscription": self._subscription, "ack_ids": ack_ids, "ack_deadline_seconds": 0}
            with suppress(GoogleAPIError):
                self._client.modify_ack_deadline(request=request, retry=None, timeout=CLOSE_SECONDS)

    def _open(self) -> Future[None]:
        routing = [("x-goog-request-params", f"subscription={self._subscription}")]
        self._call = self._client.streaming_pull(self._requests(), timeout=None, metadata=routing)
        return self._thread.submit(self._receive)

    def _receive(self) -> None:
        for response in self._call:
            for message in response.received_messages:
                self._leased.add(message.ack_id)
                self._messages.put(ReceivedMessage.of(message))

    def _requests(self) -> Iterator[StreamingPullRequest]:
        """The opening request, then lease extensions. The stream closes when this iterator ends."""
        seconds = self._lease_seconds
        yield StreamingPullRequest(
            subscription=self._subscription,
            stream_ack_deadline_seconds=seconds,
            max_outstanding_messages=2 * self._batch.messages,
            max_outstanding_bytes=2 * self._batch.size,
        )
        while not self._closing.wait(min(seconds / 3, KEEPALIVE_SECONDS)):
            leased = list(self._leased.copy())
            for start in range(0, len(leased) or 1, MAX_ACK_IDS):  # without ids, the request keeps the stream open
                ack_ids = leased[start : start + MAX_ACK_IDS]
                yield StreamingPullRequest(
                    modify_deadline_ack_ids=ack_ids, modify_deadline_seconds=[seconds] * len(ack_ids)
                )

    def _pop(self, limits: BatchLimits | None = None) -> list[ReceivedMessage]:
        messages: list[ReceivedMessage] = []
        size = 0
        with suppress(Empty):
            while limits is None or (len(messages) < limits.messages and size < limits.size):
                messages.append(self._messages.get_nowait())
                size += len(messages[-1].data)
        return messages
