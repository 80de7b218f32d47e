"""Streaming pull from Pub/Sub: messages are prefetched into memory and their leases extended until they are taken."""

import math
from collections.abc import Iterator
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


class ReceivedMessage(NamedTuple):
    """A message, the id that acknowledges it, and the time at which it was published."""

    ack_id: str
    data: bytes
    received_at: datetime

    @classmethod
    def of(cls, received: types.ReceivedMessage) -> Self:
        """The parts of a Pub/Sub message that are used."""
        return cls(received.ack_id, received.message.data, received.message.publish_time)


class StreamingPull:
    """The prefetched messages of a subscription, in order of arrival. Their leases are extended in the background.

    Pub/Sub closes every stream from time to time: the next `take` raises the reason and opens a new stream. Google's
    own subscriber cancels its streams, and the emulator keeps sending to a cancelled stream. This class half-closes
    the stream instead.
    """

    def __init__(self, client: SubscriberClient, subscription: str, max_messages: int, lease_seconds: int) -> None:
        self._client, self._subscription = client, subscription
        self._max_messages, self._lease_seconds = max_messages, lease_seconds
        self._messages: SimpleQueue[ReceivedMessage] = SimpleQueue()
        self._leased: set[str] = set()
        self._closing, self._thread = Event(), ThreadPoolExecutor(1)
        self._receiving = self._open()

    @contextmanager
    def take(self, limit: int) -> Iterator[list[ReceivedMessage]]:
        """At most `limit` waiting messages, to be acknowledged inside the context: afterwards their leases expire."""
        if self._receiving.done():
            ended, self._receiving = self._receiving, self._open()
            ended.result()  # raises the reason
        messages = self._pop(limit)
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
        if ack_ids := [message.ack_id for message in self._pop()]:
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
            max_outstanding_messages=self._max_messages,
        )
        while not self._closing.wait(min(seconds / 3, KEEPALIVE_SECONDS)):
            ack_ids = list(self._leased.copy())
            yield StreamingPullRequest(
                modify_deadline_ack_ids=ack_ids, modify_deadline_seconds=[seconds] * len(ack_ids)
            )

    def _pop(self, limit: float = math.inf) -> list[ReceivedMessage]:
        messages: list[ReceivedMessage] = []
        with suppress(Empty):
            while len(messages) < limit:
                messages.append(self._messages.get_nowait())
        return messages
