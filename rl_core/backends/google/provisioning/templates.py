"""The compiled pipelines in the bucket, from where the trigger starts them."""

import hashlib
from functools import cached_property

from google.cloud import storage

from banditloop.rl_core.backends.google.clients import bucket
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend


class Templates:
    """Compiled pipelines in a folder named by the hash of their content, so downloaded copies are never outdated."""

    def __init__(self, backend: GoogleBackend, files: dict[str, bytes]) -> None:
        self._backend, self._files = backend, files
        content = hashlib.sha256(b"\0".join(part for name, text in files.items() for part in (name.encode(), text)))
        self._folder = f"{backend.endpoint}/pipelines/{content.hexdigest()[:16]}"

    def __str__(self) -> str:
        return f"pipelines {', '.join(self._files)}"

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    def uri(self, name: str) -> str:
        """The gs:// address of a file."""
        return f"gs://{self._backend.bucket}/{self._folder}/{name}"

    def state(self) -> ResourceState:
        if all(self._bucket.blob(f"{self._folder}/{name}").exists() for name in self._files):
            return "present"
        return "changed" if self._bucket.exists() and self._blobs() else "missing"

    def make(self) -> None:
        for name, text in self._files.items():
            self._bucket.blob(f"{self._folder}/{name}").upload_from_string(text)

    def remove(self) -> bool:
        for blob in self._blobs():
            blob.delete()
        return True

    def _blobs(self) -> list[storage.Blob]:
        return list(self._bucket.list_blobs(prefix=f"{self._backend.endpoint}/pipelines/"))
