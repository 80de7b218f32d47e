"""Dead letters as objects of the bucket. The content is the reason, a newline and the payload.

Pub/Sub moves messages that were not acknowledged after many attempts to a dead-letter topic, whose subscription keeps
them for a week only. Reading or pruning dead letters first copies these messages to the bucket.
"""

import time
import uuid
from contextlib import suppress
from datetime import datetime
from functools import cached_property

from google.api_core.exceptions import NotFound
from google.cloud import pubsub_v1, storage

from banditloop.rl_core.backends.google.clients import bucket, credentials
from banditloop.rl_core.settings.backend import GoogleBackend

SOURCE = "CloudPubSubDeadLetterSourceSubscription"  # attribute of the messages that Pub/Sub gave up on
UNACKNOWLEDGED = "was not logged in a hundred attempts"
PULLED_MESSAGES = 200


class DeadLetters:
    """The messages that could not be handled, by topic, oldest first."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend

    def add(self, topic: str, reason: str, payload: bytes) -> None:
        """Store a message with the reason, whose line breaks become spaces."""
        name = f"{self._folder(topic)}{time.time_ns():020d}-{uuid.uuid4().hex}"
        self._bucket.blob(name).upload_from_string(" ".join(reason.split()).encode() + b"\n" + payload)

    def read(self, topic: str) -> list[tuple[storage.Blob, str, bytes]]:
        """All dead letters of a topic as (object, reason, payload)."""
        self._collect()
        letters = []
        for blob in self._bucket.list_blobs(prefix=self._folder(topic)):
            reason, _, payload = blob.download_as_bytes().partition(b"\n")
            letters.append((blob, reason.decode(), payload))
        return letters

    def prune(self, topic: str, before: datetime, dry_run: bool) -> int:
        """Delete the dead letters that were added before a time; returns how many. dry_run: only count them."""
        self._collect()
        old = [blob for blob in self._bucket.list_blobs(prefix=self._folder(topic)) if blob.time_created < before]
        for blob in [] if dry_run else old:
            delete(blob)
        return len(old)

    def _collect(self) -> None:
        """Store the messages that Pub/Sub gave up on."""
        subscription = f"projects/{self._backend.project}/subscriptions/{self._backend.endpoint}-dead"
        request = {"subscription": subscription, "max_messages": PULLED_MESSAGES, "return_immediately": True}
        with suppress(NotFound):  # `banditloop cloud up` has not created the subscription
            while received := self._subscriber.pull(request=request).received_messages:
                for letter in received:
                    source = letter.message.attributes.get(SOURCE, "unknown").removeprefix(f"{self._backend.endpoint}-")
                    self.add(source, UNACKNOWLEDGED, letter.message.data)
                ack_ids = [letter.ack_id for letter in received]
                self._subscriber.acknowledge(subscription=subscription, ack_ids=ack_ids)

    @cached_property
    def _subscriber(self) -> pubsub_v1.SubscriberClient:
        return pubsub_v1.SubscriberClient(credentials=credentials())

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    def _folder(self, topic: str) -> str:
        return f"{self._backend.endpoint}/dead-letters/{topic}/"


def delete(letter: storage.Blob) -> None:
    """Delete a dead letter, unless another process was faster."""
    with suppress(NotFound):
        letter.delete()
