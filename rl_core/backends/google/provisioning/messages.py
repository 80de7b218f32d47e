"""Pub/Sub topics, and subscriptions that push to a service or wait to be pulled."""

from functools import cached_property

from google.cloud import pubsub_v1
from google.pubsub_v1.types import Subscription as Wanted

from rl_core.backend import GoogleBackend
from rl_core.backends.google.bus import KEPT_SECONDS
from rl_core.backends.google.clients import LABEL, credentials
from rl_core.backends.google.provisioning.resource import State, differing, found
from rl_core.backends.google.provisioning.service import Service

ACK_SECONDS, LONGEST_PAUSE = 600, 600  # as Pub/Sub allows: an append waits for its turn
ATTEMPTS = 100  # with pauses of ten minutes, most of a day
TICKS_KEPT_SECONDS = 600


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

    def state(self) -> State:
        return "there" if found(self._client.get_topic, topic=self.name) else "missing"

    def make(self) -> None:
        self._client.create_topic(request={"name": self.name, "labels": {LABEL: self._backend.endpoint}})

    def remove(self) -> bool:
        self._client.delete_topic(topic=self.name)
        return True


class Subscription:
    """What a topic is sent, kept for a week, and after ATTEMPTS given to the topic of the dead."""

    def __init__(self, backend: GoogleBackend, topic: Topic, name: str = "", dead: Topic | None = None) -> None:
        self._backend, self._topic, self._dead = backend, topic, dead
        self.name = topic.name.replace("/topics/", "/subscriptions/") + name

    def __str__(self) -> str:
        return f"subscription {self.name.rpartition('/')[2]}"

    @cached_property
    def _client(self) -> pubsub_v1.SubscriberClient:
        return subscriber()

    def state(self) -> State:
        there = self._find()
        return "missing" if there is None else "changed" if differing(there, self._wanted()) else "there"

    def make(self) -> None:
        there, wanted = self._find(), self._wanted()
        if there and there.topic != wanted.topic:  # of a topic that somebody deleted: it gets nothing any more
            self.remove()
            there = None
        if there is None:
            self._client.create_subscription(request=wanted)
        else:
            mask = {"paths": differing(there, wanted)}
            self._client.update_subscription(request={"subscription": wanted, "update_mask": mask})

    def remove(self) -> bool:
        self._client.delete_subscription(subscription=self.name)
        return True

    def _find(self) -> Wanted | None:
        return found(self._client.get_subscription, subscription=self.name)

    def _wanted(self) -> Wanted:
        wanted = Wanted(
            name=self.name,
            topic=self._topic.name,
            labels={LABEL: self._backend.endpoint},
            ack_deadline_seconds=ACK_SECONDS,
            message_retention_duration={"seconds": KEPT_SECONDS},
            expiration_policy={},  # never
        )
        if self._dead:
            wanted.dead_letter_policy = {"dead_letter_topic": self._dead.name, "max_delivery_attempts": ATTEMPTS}
        return wanted


class Push(Subscription):
    """A subscription that posts to a service, as the account that may call it."""

    def __init__(
        self,
        backend: GoogleBackend,
        topic: Topic,
        service: Service,
        caller: str,
        name: str = "",
        dead: Topic | None = None,
    ) -> None:
        super().__init__(backend, topic, name, dead)
        self._service, self._caller = service, caller

    def _wanted(self) -> Wanted:
        wanted, address = super()._wanted(), self._service.address()
        lease = max(1, int(self._backend.lease_seconds))
        wanted.retry_policy = {"minimum_backoff": {"seconds": lease}, "maximum_backoff": {"seconds": LONGEST_PAUSE}}
        wanted.push_config = {
            "push_endpoint": f"{address}/{self._topic.name}",  # functions-framework reads the topic from the path
            "oidc_token": {"service_account_email": self._caller, "audience": address},
        }
        if not self._dead:  # a tick: the next one does as well
            wanted.message_retention_duration = {"seconds": TICKS_KEPT_SECONDS}
        return wanted
