"""The endpoint: versions and the release object in the bucket, and Vertex AI deployments that follow the release."""

import json
import shutil
import uuid
from functools import cached_property
from pathlib import Path
from typing import Any

from google.api.httpbody_pb2 import HttpBody
from google.api_core.exceptions import FailedPrecondition, InvalidArgument
from google.cloud import storage
from google.cloud.aiplatform_v1 import PredictionServiceClient

from banditloop.rl_core.backends.google.clients import bucket, vertex_client
from banditloop.rl_core.backends.google.deployment import VertexDeployments
from banditloop.rl_core.backends.google.release_object import ReleaseState, ReleaseStore
from banditloop.rl_core.backends.google.storage import download, remove, upload
from banditloop.rl_core.client import Decision
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.manifest import MANIFEST, Manifest
from banditloop.rl_core.policies.release import Release, Verdict
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import CloudResource, Vitals
from banditloop.rl_core.settings.backend import GoogleBackend


class VertexEndpoint:
    """See banditloop.rl_core.ports.Endpoint.

    The release object is replaced first, by compare-and-swap, so only one of several concurrent calls succeeds. Every
    call then makes the deployments match the stored release. So if a process dies in between, the next call completes
    its work.
    """

    def __init__(self, config: Config, backend: GoogleBackend, cache: Path) -> None:
        self._backend, self._cache = backend, cache
        self._releases, self._deployments = ReleaseStore(backend), VertexDeployments(config, backend)
        self._manifests: dict[str, Manifest] = {}  # by version; they never change

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    @cached_property
    def _predictions(self) -> PredictionServiceClient:
        return vertex_client(self._backend, PredictionServiceClient)

    def add(self, folder: Path) -> str:
        version = SavedPolicy.load(folder).manifest.version
        if not self._bucket.blob(f"{self._prefix(version)}/{MANIFEST}").exists():
            upload(self._bucket, folder, self._prefix(version), last=MANIFEST)
        return version

    def remove(self, version: str) -> None:
        release = self.release()
        if release and version in release.traffic():
            raise InvalidInput(f"version {version!r}: is the {release.role(version)}, and cannot be removed")
        remove(self._bucket, self._prefix(version), first=MANIFEST)
        self._manifests.pop(version, None)
        shutil.rmtree(self._cache / version, ignore_errors=True)

    def list_endpoints(self) -> list[str]:
        pages = self._bucket.list_blobs(delimiter="/")
        list(pages)  # `prefixes` is filled while the pages are read
        folders = [prefix.strip("/") for prefix in pages.prefixes]
        return sorted(
            name for name in folders if any(self._bucket.list_blobs(prefix=f"{name}/versions/", max_results=1))
        )

    def versions(self) -> list[Manifest]:
        for blob in self._bucket.list_blobs(prefix=f"{self._backend.endpoint}/versions/"):
            version, _, file = blob.name.removeprefix(f"{self._backend.endpoint}/versions/").partition("/")
            if file == MANIFEST and version not in self._manifests:
                self._manifests[version] = Manifest.model_validate_json(blob.download_as_bytes())
        return sorted(self._manifests.values(), key=lambda manifest: (manifest.window.until, manifest.generation))

    def release(self) -> Release | None:
        return self._releases.read()[0].release

    def set_release(self, expected: Release | None, new: Release, verdict: Verdict | None = None) -> bool:
        manifests = {manifest.version: manifest for manifest in self.versions()}
        for version in new.traffic():
            if version not in manifests:
                raise InvalidInput(f"version {version!r}: is not one of: {', '.join(manifests)}")
        if new.challenger and not new.challenger_percent:
            raise InvalidInput("release.canary_percent = 0: on Vertex AI a shadow gets no requests; give at least 1")
        state, generation = self._releases.read()
        verdicts = [*state.verdicts, *([verdict] if verdict else [])]
        replacement = ReleaseState(release=new, verdicts=verdicts)
        replaced = state.release == expected and self._releases.replace(replacement, generation)
        self.reconcile()
        return replaced

    def reconcile(self) -> None:
        """Make the deployments match the release, repeatedly if the release changes meanwhile."""
        release, manifests = self.release(), {manifest.version: manifest for manifest in self.versions()}
        while release:
            self._deployments.apply(release.traffic(), manifests)
            release = None if (latest := self.release()) == release else latest

    def add_verdict(self, verdict: Verdict) -> None:
        while True:
            state, generation = self._releases.read()
            replacement = ReleaseState(release=state.release, verdicts=[*state.verdicts, verdict])
            if self._releases.replace(replacement, generation):
                return

    def verdicts(self) -> list[Verdict]:
        return self._releases.read()[0].verdicts

    def policy(self, version: str) -> Path:
        return download(self._bucket, self._prefix(version), self._cache / version)

    def serving_versions(self) -> list[str]:
        endpoint = self._deployments.find()
        return list(self._deployments.split(endpoint)) if endpoint else []

    def vitals(self) -> dict[str, Vitals]:
        return {}  # Vertex AI gives no access to the containers; Cloud Monitoring has their errors and latencies

    def resources(self, version: str) -> dict[str, CloudResource]:
        endpoint = self._deployments.find()
        models = [model for model in endpoint.deployed_models if model.display_name == version] if endpoint else []
        if not (endpoint and models):
            return {}
        [model], root = models, f"https://{self._backend.location}-aiplatform.googleapis.com/v1"
        name = model.model if "@" in model.model else f"{model.model}@{model.model_version_id}"
        named = {"model": name, "endpoint": endpoint.name}
        return {kind: CloudResource(name, f"{root}/{name}") for kind, name in named.items()}

    def register_server(self, url: str) -> None:
        pass  # Vertex AI routes requests to its containers itself

    def predict(self, instances: list[Any]) -> list[Decision]:
        endpoint = self._deployments.find()
        if endpoint is None or not endpoint.deployed_models:
            raise InvalidInput(f"endpoint {self._backend.endpoint}: nothing serves it; run the startup pipeline")
        request = {"instances": instances, "parameters": {"request_id": uuid.uuid4().hex}}
        body = HttpBody(content_type="application/json", data=json.dumps(request).encode())
        try:  # raw_predict, as predict would return all numbers as doubles
            response = self._predictions.raw_predict(endpoint=endpoint.name, http_body=body)
        except (InvalidArgument, FailedPrecondition) as error:
            raise InvalidInput(error.message) from None
        return [Decision(**prediction) for prediction in json.loads(response.data)["predictions"]]

    def _prefix(self, version: str) -> str:
        return f"{self._backend.endpoint}/versions/{version}"
