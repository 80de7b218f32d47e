"""What the serving containers report of themselves: Vertex AI gives no access to them, so they write to the bucket."""

import contextlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from functools import cached_property

from google.api_core.exceptions import NotFound
from google.cloud import storage

from banditloop.rl_core.backends.google.clients import bucket
from banditloop.rl_core.ports import Vitals
from banditloop.rl_core.settings.backend import GoogleBackend

FRESH = timedelta(seconds=120)  # a container reports at least every 30 s
KEPT = timedelta(days=1)


class ServerReports:
    """One object per container: the vitals of the versions that it has loaded."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend, self._prefix = backend, f"{backend.endpoint}/servers/"
        self._name = f"{self._prefix}{uuid.uuid4().hex}.json"
        self._is_first = True

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    def write(self, vitals: dict[str, Vitals]) -> None:
        """Replace this container's report. The first one also removes the reports of containers that ended long ago."""
        self._bucket.blob(self._name).upload_from_string(json.dumps(vitals), content_type="application/json")
        if self._is_first:
            for blob in self._bucket.list_blobs(prefix=self._prefix):
                if datetime.now(UTC) - blob.updated > KEPT:
                    with contextlib.suppress(NotFound):
                        blob.delete()
        self._is_first = False

    def read(self) -> dict[str, Vitals]:
        """The vitals by version, over all containers that reported lately: sums, and the highest latency."""
        merged: dict[str, Vitals] = {}
        for blob in self._bucket.list_blobs(prefix=self._prefix):
            if datetime.now(UTC) - blob.updated > FRESH:
                continue
            with contextlib.suppress(NotFound):
                for version, values in json.loads(blob.download_as_bytes()).items():
                    before, new = merged.get(version, Vitals(0, 0, 0.0)), Vitals(*values)
                    latency = max(before.p95_latency_ms, new.p95_latency_ms)
                    merged[version] = Vitals(before.decisions + new.decisions, before.failures + new.failures, latency)
        return merged
