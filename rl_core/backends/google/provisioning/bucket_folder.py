"""Files in the bucket that belong together: the compiled pipelines, and the source of the functions."""

import hashlib
from functools import cached_property

from google.cloud import storage

from banditloop.rl_core.backends.google.clients import bucket
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend


class BucketFolder:
    """Files in a folder named by the hash of their content, so downloaded copies are never outdated.

    `kind` is the name of the folder above it, below the endpoint's.
    """

    def __init__(self, backend: GoogleBackend, kind: str, files: dict[str, bytes]) -> None:
        self._backend, self._kind, self._files = backend, kind, files
        checksum = hashlib.sha256(b"\0".join(part for name, text in files.items() for part in (name.encode(), text)))
        self.digest = checksum.hexdigest()[:16]
        self._folder = f"{backend.endpoint}/{kind}/{self.digest}"

    def __str__(self) -> str:
        return f"{self._kind} {', '.join(self._files)}"

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    def path(self, name: str) -> str:
        """The path of a file in the bucket."""
        return f"{self._folder}/{name}"

    def uri(self, name: str) -> str:
        """The gs:// address of a file."""
        return f"gs://{self._backend.bucket}/{self.path(name)}"

    def state(self) -> ResourceState:
        if all(self._bucket.blob(self.path(name)).exists() for name in self._files):
            return "present"
        return "changed" if self._bucket.exists() and self._blobs() else "missing"

    def make(self) -> None:
        for name, text in self._files.items():
            self._bucket.blob(self.path(name)).upload_from_string(text)

    def remove(self) -> bool:
        for blob in self._blobs():
            blob.delete()
        return True

    def _blobs(self) -> list[storage.Blob]:
        return list(self._bucket.list_blobs(prefix=f"{self._backend.endpoint}/{self._kind}/"))
