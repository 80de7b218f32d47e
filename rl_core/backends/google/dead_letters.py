"""Dead letters as objects of the bucket. The content is the reason, a newline and the payload."""

import time
import uuid
from datetime import datetime
from functools import cached_property

from google.cloud import storage

from banditloop.rl_core.backends.google.clients import bucket
from banditloop.rl_core.settings.backend import GoogleBackend


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
        letters = []
        for blob in self._bucket.list_blobs(prefix=self._folder(topic)):
            reason, _, payload = blob.download_as_bytes().partition(b"\n")
            letters.append((blob, reason.decode(), payload))
        return letters

    def prune(self, topic: str, before: datetime, dry_run: bool) -> int:
        """Delete the dead letters that were added before a time; returns how many. dry_run: only count them."""
        old = [blob for blob in self._bucket.list_blobs(prefix=self._folder(topic)) if blob.time_created < before]
        for blob in [] if dry_run else old:
            blob.delete()
        return len(old)

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    def _folder(self, topic: str) -> str:
        return f"{self._backend.endpoint}/dead-letters/{topic}/"
