"""The endpoint: versions in the bucket, the release in the ledger, and Vertex AI brought to what that says."""

import json
import uuid
from functools import cached_property
from pathlib import Path
from typing import Any

from google.api.httpbody_pb2 import HttpBody
from google.api_core.exceptions import FailedPrecondition, InvalidArgument
from google.cloud import storage
from google.cloud.aiplatform_v1 import PredictionServiceClient

from rl_core.backend import GoogleBackend
from rl_core.backends import Vitals
from rl_core.backends.google.clients import bucket, vertex
from rl_core.backends.google.ledger import Ledger, Page
from rl_core.backends.google.objects import download, upload
from rl_core.backends.google.serving import Serving
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.manifest import MANIFEST, Manifest
from rl_core.policy import SavedPolicy
from rl_core.release import Release, Verdict


class VertexEndpoint:
    """See rl_core.backends.Endpoint.

    The release is moved in the ledger first, and only one mover succeeds; whoever has tried then brings Vertex AI to
    what the ledger says, so that a mover which was killed in between is made good by the next.
    """

    def __init__(self, config: Config, backend: GoogleBackend, cache: Path) -> None:
        self._backend, self._cache = backend, cache
        self._ledger, self._serving = Ledger(backend), Serving(config, backend)
        self._known: dict[str, Manifest] = {}

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    @cached_property
    def _predictions(self) -> PredictionServiceClient:
        return vertex(self._backend, PredictionServiceClient)

    def add(self, folder: Path) -> str:
        version = SavedPolicy.load(folder).manifest.version
        if not self._bucket.blob(f"{self._prefix(version)}/{MANIFEST}").exists():
            upload(self._bucket, folder, self._prefix(version), last=MANIFEST)
        return version

    def names(self) -> list[str]:
        pages = self._bucket.list_blobs(delimiter="/")
        list(pages)  # prefixes come with the pages
        folders = [prefix.strip("/") for prefix in pages.prefixes]
        return sorted(
            name for name in folders if any(self._bucket.list_blobs(prefix=f"{name}/versions/", max_results=1))
        )

    def versions(self) -> list[Manifest]:
        for blob in self._bucket.list_blobs(prefix=f"{self._backend.endpoint}/versions/"):
            version, _, file = blob.name.removeprefix(f"{self._backend.endpoint}/versions/").partition("/")
            if file == MANIFEST and version not in self._known:
                self._known[version] = Manifest.model_validate_json(blob.download_as_bytes())
        return sorted(self._known.values(), key=lambda manifest: (manifest.window.until, manifest.generation))

    def release(self) -> Release | None:
        return self._ledger.read()[0].release

    def move(self, before: Release | None, after: Release, verdict: Verdict | None = None) -> bool:
        manifests = {manifest.version: manifest for manifest in self.versions()}
        for version in after.traffic():
            if version not in manifests:
                raise InvalidInput(f"version {version!r}: is not one of: {', '.join(manifests)}")
        if after.challenger and not after.share:
            raise InvalidInput("release.canary = 0: on Vertex AI a shadow would see no request; give at least 1")
        page, generation = self._ledger.read()
        verdicts = [*page.verdicts, *([verdict] if verdict else [])]
        moved = page.release == before and self._ledger.replace(Page(release=after, verdicts=verdicts), generation)
        self.settle()
        return moved

    def settle(self) -> None:
        """Bring Vertex AI to the release, and again where that has moved meanwhile."""
        release, manifests = self.release(), {manifest.version: manifest for manifest in self.versions()}
        while release:
            self._serving.bring(release.traffic(), manifests)
            release = None if (latest := self.release()) == release else latest

    def record(self, verdict: Verdict) -> None:
        while True:
            page, generation = self._ledger.read()
            if self._ledger.replace(Page(release=page.release, verdicts=[*page.verdicts, verdict]), generation):
                return

    def verdicts(self) -> list[Verdict]:
        return self._ledger.read()[0].verdicts

    def policy(self, version: str) -> Path:
        return download(self._bucket, self._prefix(version), self._cache / version)

    def serving(self) -> list[str]:
        endpoint = self._serving.find()
        return list(self._serving.split(endpoint)) if endpoint else []

    def vitals(self) -> dict[str, Vitals]:
        return {}  # Vertex AI lets nobody ask a container; Cloud Monitoring has its errors and latencies

    def announce(self, url: str) -> None:
        pass  # Vertex AI knows where its containers are

    def predict(self, instances: list[Any]) -> list[dict[str, Any]]:
        endpoint = self._serving.find()
        if endpoint is None or not endpoint.deployed_models:
            raise InvalidInput(f"endpoint {self._backend.endpoint}: nothing serves it; run the startup pipeline")
        request = {"instances": instances, "parameters": {"request_id": uuid.uuid4().hex}}
        body = HttpBody(content_type="application/json", data=json.dumps(request).encode())
        try:  # raw: a prediction's numbers would all come back as doubles
            answer = self._predictions.raw_predict(endpoint=endpoint.name, http_body=body)
        except (InvalidArgument, FailedPrecondition) as error:
            raise InvalidInput(error.message) from None
        return json.loads(answer.data)["predictions"]

    def _prefix(self, version: str) -> str:
        return f"{self._backend.endpoint}/versions/{version}"
