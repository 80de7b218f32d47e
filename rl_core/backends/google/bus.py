"""The bus as Pub/Sub topics. Each has one subscription, which the logger pulls."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from datetime import datetime
from functools import cached_property

from google.api_core.exceptions import AlreadyExists, PermissionDenied
from google.cloud import pubsub_v1
from google.protobuf.duration_pb2 import Duration

from banditloop.rl_core.backends.delivery import deliver_messages
from banditloop.rl_core.backends.google.clients import credentials
from banditloop.rl_core.backends.google.dead_letters import DeadLetters, delete
from banditloop.rl_core.backends.google.streaming_pull import BatchLimits, ReceivedMessage, StreamingPull, requests_of
from banditloop.rl_core.ports import Handler
from banditloop.rl_core.settings.backend import GoogleBackend

BATCH = BatchLimits(50_000, 32 << 20)  # from a stream; large, as an append of few events costs as much as one of many
PULLED_MESSAGES = 200  # in a pull without a stream
MIN_LEASE_SECONDS, RETENTION_SECONDS = 10, 7 * 24 * 3600  # the limits of a Pub/Sub subscription
log = logging.getLogger("banditloop.bus")


class PubSubBus:
    """See banditloop.rl_core.ports.Bus. A process creates a topic on first use, if it has permission."""

    def __init__(self, backend: GoogleBackend, lease_seconds: float) -> None:
        self._backend, self._redelivery_seconds = backend, lease_seconds
        self._dead_letters = DeadLetters(backend)
        self._created: set[str] = set()
        self._streams: dict[str, StreamingPull] = {}

    @cached_property
    def _publisher(self) -> pubsub_v1.PublisherClient:
        return pubsub_v1.PublisherClient(credentials=credentials())

    @cached_property
    def _subscriber(self) -> pubsub_v1.SubscriberClient:
        return pubsub_v1.SubscriberClient(credentials=credentials())

    def publish(self, topic: str, payload: bytes) -> None:
        self._ensure_topic(topic)
        self._publisher.publish(self._topic(topic), payload).result()

    def subscribe(self, topics: Sequence[str]) -> AbstractContextManager[None]:
        for topic in topics:
            self._ensure_topic(topic)  # before the context is entered, as only this call is retried
        return self._streaming(topics)

    def deliver(self, topic: str, handler: Handler, timed: bool = False) -> int:
        self._ensure_topic(topic)
        with self._next_batch(topic) as messages:
            if messages:
                self._handle(topic, messages, handler, timed)
        return len(messages)

    def dead_letter(self, topic: str, reason: str, payload: bytes) -> None:
        self._dead_letters.add(topic, reason, payload)

    def dead_letters(self, topic: str) -> list[tuple[str, bytes]]:
        return [(reason, payload) for _, reason, payload in self._dead_letters.read(topic)]

    def prune_dead_letters(self, topic: str, before: datetime, dry_run: bool = False) -> int:
        return self._dead_letters.prune(topic, before, dry_run)

    def replay(self, topic: str) -> int:
        letters = self._dead_letters.read(topic)
        for letter, _, payload in letters:
            self.publish(topic, payload)
            delete(letter)
        return len(letters)

    @contextmanager
    def _streaming(self, topics: Sequence[str]) -> Iterator[None]:
        with ExitStack() as stack:
            for topic in topics:
                stream = StreamingPull(self._subscriber, self._subscription(topic), BATCH, self._lease_seconds)
                self._streams[topic] = stack.enter_context(closing(stream))
                stack.callback(self._streams.pop, topic)
            yield

    def _next_batch(self, topic: str) -> AbstractContextManager[list[ReceivedMessage]]:
        if topic in self._streams:
            return self._streams[topic].take()
        return nullcontext(self._pull(topic))

    def _pull(self, topic: str) -> list[ReceivedMessage]:
        request = {
            "subscription": self._subscription(topic),
            "max_messages": PULLED_MESSAGES,
            "return_immediately": True,  # callers that wait for messages use streams
        }
        messages = self._subscriber.pull(request=request).received_messages
        return [ReceivedMessage.of(message) for message in messages]

    def _handle(self, topic: str, messages: list[ReceivedMessage], handler: Handler, timed: bool) -> None:
        def handle(batch: list[ReceivedMessage]) -> None:
            times = [[message.received_at for message in batch]] if timed else []
            handler([message.data for message in batch], *times)

        deliver_messages(
            messages,
            handle,
            acknowledge=lambda batch: self._acknowledge(topic, batch),
            dead_letter=lambda message, reason: self.dead_letter(topic, reason, message.data),
            release=lambda batch: self._release(topic, batch),
            log=log.getChild(topic),
        )

    def _acknowledge(self, topic: str, messages: list[ReceivedMessage]) -> None:
        for ack_ids in requests_of(messages):
            self._subscriber.acknowledge(subscription=self._subscription(topic), ack_ids=ack_ids)

    def _release(self, topic: str, messages: list[ReceivedMessage]) -> None:
        for ack_ids in requests_of(messages):
            self._subscriber.modify_ack_deadline(
                subscription=self._subscription(topic),
                ack_ids=ack_ids,
                ack_deadline_seconds=int(self._redelivery_seconds),
            )

    def _ensure_topic(self, topic: str) -> None:
        """Create the topic and its subscription if missing. Messages to a topic without a subscription are lost."""
        if topic in self._created:
            return
        name, subscription = self._topic(topic), self._subscription(topic)
        calls: list[Callable[[], object]] = [
            lambda: self._publisher.create_topic(name=name),
            lambda: self._subscriber.create_subscription(
                request={
                    "name": subscription,
                    "topic": name,
                    "ack_deadline_seconds": self._lease_seconds,
                    "message_retention_duration": Duration(seconds=RETENTION_SECONDS),
                    "expiration_policy": {},  # never
                }
            ),
        ]
        for call in calls:
            try:
                call()
            except (AlreadyExists, PermissionDenied):  # a process without permission relies on `cloud up`
                continue
        self._created.add(topic)

    @property
    def _lease_seconds(self) -> int:
        return max(MIN_LEASE_SECONDS, int(self._redelivery_seconds))

    def _topic(self, topic: str) -> str:
        return f"projects/{self._backend.project}/topics/{self._backend.endpoint}-{topic}"

    def _subscription(self, topic: str) -> str:
        return f"projects/{self._backend.project}/subscriptions/{self._backend.endpoint}-{topic}"
