"""The bucket of policies, runs, dead letters and the release object."""

from functools import cached_property

from google.cloud import storage

from banditloop.rl_core.backends.google.clients import LABEL, credentials
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend


class Bucket:
    """A bucket that several loops may share. It belongs to the loop whose endpoint its label names."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend

    def __str__(self) -> str:
        return f"bucket {self._backend.bucket}"

    @cached_property
    def _client(self) -> storage.Client:
        return storage.Client(self._backend.project, credentials())

    def state(self) -> ResourceState:
        bucket = self._client.lookup_bucket(self._backend.bucket)
        if bucket is None:
            return "missing"
        uniform = bucket.iam_configuration.uniform_bucket_level_access_enabled
        return "present" if uniform or not self._owns(bucket) else "changed"

    def make(self) -> None:
        bucket = self._client.lookup_bucket(self._backend.bucket) or self._client.bucket(self._backend.bucket)
        bucket.iam_configuration.uniform_bucket_level_access_enabled = True
        if bucket.time_created:
            return bucket.patch()
        bucket.iam_configuration.public_access_prevention = "enforced"
        bucket.labels = {LABEL: self._backend.endpoint}
        self._client.create_bucket(bucket, location=self._backend.location)

    def remove(self) -> bool:
        bucket = self._client.get_bucket(self._backend.bucket)
        for blob in bucket.list_blobs(prefix=f"{self._backend.endpoint}/"):
            blob.delete()
        if not self._owns(bucket) or any(bucket.list_blobs(max_results=1)):
            return False
        bucket.delete()
        return True

    def _owns(self, bucket: storage.Bucket) -> bool:
        return bucket.labels.get(LABEL) == self._backend.endpoint
