"""Dead letters as objects of the bucket: the reason, a newline and the payload."""

import time
import uuid
from functools import cached_property

from google.cloud import storage

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import bucket


class DeadLetters:
    """The messages that were given up, oldest first."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend

    def keep(self, topic: str, reason: str, payload: bytes) -> None:
        """Add a message, with the reason in one line."""
        name = f"{self._folder(topic)}{time.time_ns():020d}-{uuid.uuid4().hex}"
        self._bucket.blob(name).upload_from_string(" ".join(reason.split()).encode() + b"\n" + payload)

    def read(self, topic: str) -> list[tuple[storage.Blob, str, bytes]]:
        """All of a topic, each as (object, reason, payload)."""
        found = []
        for blob in self._bucket.list_blobs(prefix=self._folder(topic)):
            reason, _, payload = blob.download_as_bytes().partition(b"\n")
            found.append((blob, reason.decode(), payload))
        return found

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    def _folder(self, topic: str) -> str:
        return f"{self._backend.endpoint}/dead-letters/{topic}/"
