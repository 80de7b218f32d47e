"""The bus as Pub/Sub topics, each with one subscription that the logger has streamed, or that pushes to it."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from functools import cached_property

from google.api_core.exceptions import AlreadyExists, PermissionDenied
from google.cloud import pubsub_v1
from google.protobuf.duration_pb2 import Duration

from rl_core.backend import GoogleBackend
from rl_core.backends import Handler
from rl_core.backends.google.clients import credentials
from rl_core.backends.google.dead_letters import DeadLetters
from rl_core.backends.google.stream import Received, Stream
from rl_core.errors import InvalidInput

MESSAGES_AT_ONCE = 200
MESSAGES_AHEAD = 2 * MESSAGES_AT_ONCE  # of a stream: some come while others are handled. The emulator sends them all
SHORTEST_LEASE, KEPT_SECONDS = 10, 7 * 24 * 3600  # of a subscription, as Pub/Sub allows
log = logging.getLogger("banditloop.bus")


class PubSubBus:
    """See rl_core.backends.Bus. Topics are made when a process first uses them, where it may."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend
        self._letters = DeadLetters(backend)
        self._made: set[str] = set()
        self._streams: dict[str, Stream] = {}

    @cached_property
    def _publisher(self) -> pubsub_v1.PublisherClient:
        return pubsub_v1.PublisherClient(credentials=credentials())

    @cached_property
    def _subscriber(self) -> pubsub_v1.SubscriberClient:
        return pubsub_v1.SubscriberClient(credentials=credentials())

    def publish(self, topic: str, payload: bytes) -> None:
        self._make(topic)
        self._publisher.publish(self._topic(topic), payload).result()

    def receiving(self, topics: Sequence[str]) -> AbstractContextManager[None]:
        for topic in topics:
            self._make(topic)  # here, where it is called again if it fails
        return self._receiving(topics)

    def deliver(self, topic: str, handler: Handler) -> int:
        self._make(topic)
        with self._waiting(topic) as messages:
            if messages:
                self._handle(topic, messages, handler)
        return len(messages)

    def give_up(self, topic: str, reason: str, payload: bytes) -> None:
        self._letters.keep(topic, reason, payload)

    def dead_letters(self, topic: str) -> list[tuple[str, bytes]]:
        return [(reason, payload) for _, reason, payload in self._letters.read(topic)]

    def replay(self, topic: str) -> int:
        letters = self._letters.read(topic)
        for letter, _, payload in letters:
            self.publish(topic, payload)
            letter.delete()
        return len(letters)

    @contextmanager
    def _receiving(self, topics: Sequence[str]) -> Iterator[None]:
        with ExitStack() as stack:
            for topic in topics:
                stream = Stream(self._subscriber, self._subscription(topic), MESSAGES_AHEAD, self._lease_seconds)
                self._streams[topic] = stack.enter_context(closing(stream))
                stack.callback(self._streams.pop, topic)
            yield

    def _waiting(self, topic: str) -> AbstractContextManager[list[Received]]:
        if topic in self._streams:
            return self._streams[topic].take(MESSAGES_AT_ONCE)
        return nullcontext(self._pull(topic))

    def _pull(self, topic: str) -> list[Received]:
        request = {
            "subscription": self._subscription(topic),
            "max_messages": MESSAGES_AT_ONCE,
            "return_immediately": True,  # whoever wants to wait has them streamed
        }
        messages = self._subscriber.pull(request=request).received_messages
        return [Received(message.ack_id, message.message.data) for message in messages]

    def _handle(self, topic: str, messages: list[Received], handler: Handler) -> None:
        try:
            handler([message.data for message in messages])
        except Exception as error:
            if len(messages) > 1:
                for message in messages:
                    self._handle(topic, [message], handler)
                return
            if not isinstance(error, InvalidInput):
                log.warning("%s: a message comes again: %r", topic, error)
                return self._lease(topic, messages, self._backend.lease_seconds)
            self.give_up(topic, str(error), messages[0].data)
        ids = [message.ack_id for message in messages]
        self._subscriber.acknowledge(subscription=self._subscription(topic), ack_ids=ids)

    def _lease(self, topic: str, messages: list[Received], seconds: float) -> None:
        self._subscriber.modify_ack_deadline(
            subscription=self._subscription(topic),
            ack_ids=[message.ack_id for message in messages],
            ack_deadline_seconds=int(seconds),
        )

    def _make(self, topic: str) -> None:
        """Make a topic and its subscription, or see that they are there: what a topic without one is sent, is lost."""
        if topic in self._made:
            return
        name, subscription = self._topic(topic), self._subscription(topic)
        steps: list[Callable[[], object]] = [
            lambda: self._publisher.create_topic(name=name),
            lambda: self._subscriber.create_subscription(
                request={
                    "name": subscription,
                    "topic": name,
                    "ack_deadline_seconds": self._lease_seconds,
                    "message_retention_duration": Duration(seconds=KEPT_SECONDS),
                    "expiration_policy": {},  # never
                }
            ),
        ]
        for step in steps:
            try:
                step()
            except (AlreadyExists, PermissionDenied):  # whoever may not make them finds them made
                continue
        self._made.add(topic)

    @property
    def _lease_seconds(self) -> int:
        return max(SHORTEST_LEASE, int(self._backend.lease_seconds))

    def _topic(self, topic: str) -> str:
        return f"projects/{self._backend.project}/topics/{self._backend.endpoint}-{topic}"

    def _subscription(self, topic: str) -> str:
        return f"projects/{self._backend.project}/subscriptions/{self._backend.endpoint}-{topic}"
