"""Pub/Sub topics, and subscriptions that push to a service or are pulled."""

from functools import cached_property

from google.cloud import pubsub_v1
from google.pubsub_v1.types import Subscription as PubSubSubscription

from banditloop.rl_core.backends.google.bus import RETENTION_SECONDS
from banditloop.rl_core.backends.google.clients import LABEL, credentials
from banditloop.rl_core.backends.google.provisioning.resource import Service, changed_fields, get_or_none
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend

ACK_SECONDS = 600  # Pub/Sub's maximum: an append may have to wait for others
RETRIES = {"minimum_backoff": {"seconds": 10}, "maximum_backoff": {"seconds": 600}}  # 600 is Pub/Sub's maximum
MAX_ATTEMPTS = 100  # most of a day, with ten minutes between attempts
TICK_RETENTION_SECONDS = 600


def publisher() -> pubsub_v1.PublisherClient:
    """The client of topics."""
    return pubsub_v1.PublisherClient(credentials=credentials())


def subscriber() -> pubsub_v1.SubscriberClient:
    """The client of subscriptions."""
    return pubsub_v1.SubscriberClient(credentials=credentials())


class Topic:
    """A topic, named after the endpoint."""

    def __init__(self, backend: GoogleBackend, name: str) -> None:
        self._backend = backend
        self.name = f"projects/{backend.project}/topics/{backend.endpoint}-{name}"

    def __str__(self) -> str:
        return f"topic {self.name.rpartition('/')[2]}"

    @cached_property
    def _client(self) -> pubsub_v1.PublisherClient:
        return publisher()

    def state(self) -> ResourceState:
        return "present" if get_or_none(self._client.get_topic, topic=self.name) else "missing"

    def make(self) -> None:
        self._client.create_topic(request={"name": self.name, "labels": {LABEL: self._backend.endpoint}})

    def remove(self) -> bool:
        self._client.delete_topic(topic=self.name)
        return True


class Subscription:
    """Keeps the messages of a topic for a week, until they are pulled.

    After MAX_ATTEMPTS a message moves to the dead-letter topic, if any.
    """

    def __init__(
        self, backend: GoogleBackend, topic: Topic, suffix: str = "", dead_letters: Topic | None = None
    ) -> None:
        self._backend, self._topic, self._dead_letters = backend, topic, dead_letters
        self.name = topic.name.replace("/topics/", "/subscriptions/") + suffix

    def __str__(self) -> str:
        return f"subscription {self.name.rpartition('/')[2]}"

    @cached_property
    def _client(self) -> pubsub_v1.SubscriberClient:
        return subscriber()

    def state(self) -> ResourceState:
        current = self._find()
        if current is None:
            return "missing"
        return "changed" if _changed(current, self._desired()) else "present"

    def make(self) -> None:
        current, desired = self._find(), self._desired()
        if current and current.topic != desired.topic:  # its topic was deleted: it gets no more messages
            self.remove()
            current = None
        if current is None:
            self._client.create_subscription(request=desired)
        else:
            mask = {"paths": _changed(current, desired)}
            self._client.update_subscription(request={"subscription": desired, "update_mask": mask})

    def remove(self) -> bool:
        self._client.delete_subscription(subscription=self.name)
        return True

    def _find(self) -> PubSubSubscription | None:
        return get_or_none(self._client.get_subscription, subscription=self.name)

    def _desired(self) -> PubSubSubscription:
        desired = PubSubSubscription(
            name=self.name,
            topic=self._topic.name,
            labels={LABEL: self._backend.endpoint},
            ack_deadline_seconds=ACK_SECONDS,
            message_retention_duration={"seconds": RETENTION_SECONDS},
            expiration_policy={},  # never expires
        )
        if self._dead_letters:
            topic = self._dead_letters.name
            desired.dead_letter_policy = {"dead_letter_topic": topic, "max_delivery_attempts": MAX_ATTEMPTS}
            desired.retry_policy = RETRIES
        return desired


class PushSubscription(Subscription):
    """Posts the ticks of a topic to a service, authenticated as the endpoint's account `push`."""

    def __init__(self, backend: GoogleBackend, topic: Topic, service: Service, suffix: str = "") -> None:
        super().__init__(backend, topic, suffix)
        self._service = service

    def _desired(self) -> PubSubSubscription:
        desired, url = super()._desired(), self._service.url()
        desired.retry_policy = RETRIES
        desired.push_config = {
            "push_endpoint": f"{url}/{self._topic.name}",  # functions-framework reads the topic from the path
            "oidc_token": {"service_account_email": self._backend.account_email("push"), "audience": url},
        }
        desired.message_retention_duration = {"seconds": TICK_RETENTION_SECONDS}  # the next tick replaces an old one
        return desired


def _changed(current: PubSubSubscription, desired: PubSubSubscription) -> list[str]:
    """The fields to update. An empty push_config stops a subscription from pushing."""
    stops_pushing = current.push_config.push_endpoint and not desired.push_config.push_endpoint
    return [*changed_fields(current, desired), *(["push_config"] if stops_pushing else [])]
