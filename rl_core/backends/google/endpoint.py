"""The endpoint: versions and the release object in the bucket, and Vertex AI deployments that follow the release."""

import shutil
from collections.abc import Collection
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud import storage

from banditloop.rl_core.backends.google.clients import bucket
from banditloop.rl_core.backends.google.deployment import DeploymentFailed, VertexDeployments
from banditloop.rl_core.backends.google.model_registry import ModelRegistry
from banditloop.rl_core.backends.google.predictions import VertexPredictions
from banditloop.rl_core.backends.google.release_deployments import ReleaseDeployments
from banditloop.rl_core.backends.google.release_object import ReleaseState, ReleaseStore
from banditloop.rl_core.backends.google.server_reports import ServerReports
from banditloop.rl_core.backends.google.storage import download, remove, upload
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.decision import Decision
from banditloop.rl_core.policies.manifest import MANIFEST, Manifest
from banditloop.rl_core.policies.release import Release, Verdict
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.policies.tuned import Tuned
from banditloop.rl_core.ports import CloudResource, Vitals
from banditloop.rl_core.settings.backend import GoogleBackend


class VertexEndpoint:
    """See banditloop.rl_core.ports.Endpoint.

    The release object is replaced first, by compare-and-swap, so only one of several concurrent calls succeeds. Every
    call then makes the deployments match the stored release. So if a process dies in between, the next call completes
    its work. With `backend.split = "container"` there is one deployment, the server, which follows the release object
    itself: a promotion deploys nothing.
    """

    def __init__(self, config: Config, backend: GoogleBackend, cache: Path) -> None:
        self._backend, self._cache = backend, cache
        self._releases, self._deployments = ReleaseStore(backend), VertexDeployments(backend)
        self._registry, self._reports = ModelRegistry(config, backend), ServerReports(backend)
        self._follower = ReleaseDeployments(config, backend, self._releases, self._deployments, self._registry)
        self._predictions = VertexPredictions(backend)
        self._manifests: dict[str, Manifest] = {}  # by version; they never change

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return bucket(self._backend)

    def add(self, folder: Path) -> str:
        manifest = SavedPolicy.load(folder).manifest
        prefix = self._prefix(manifest.version)
        if not self._bucket.blob(f"{prefix}/{MANIFEST}").exists():
            upload(self._bucket, folder, prefix, last=MANIFEST)
        self._registry.policy(manifest)
        return manifest.version

    def remove(self, version: str) -> None:
        release = self.release()
        if release and version in release.traffic():
            raise InvalidInput(f"version {version!r}: is the {release.role(version)}, and cannot be removed")
        self._registry.remove(version)
        remove(self._bucket, self._prefix(version), first=MANIFEST)
        shutil.rmtree(self._cache / version, ignore_errors=True)

    def list_endpoints(self) -> list[str]:
        pages = self._bucket.list_blobs(delimiter="/")
        list(pages)  # `prefixes` is filled while the pages are read
        folders = [prefix.strip("/") for prefix in pages.prefixes]
        return sorted(
            name for name in folders if any(self._bucket.list_blobs(prefix=f"{name}/versions/", max_results=1))
        )

    def versions(self) -> list[Manifest]:
        listed: dict[str, Manifest] = {}
        for blob in self._bucket.list_blobs(prefix=f"{self._backend.endpoint}/versions/"):
            version, _, file = blob.name.removeprefix(f"{self._backend.endpoint}/versions/").partition("/")
            if file == MANIFEST:
                with suppress(NotFound):  # it was removed meanwhile
                    listed[version] = self._manifests.get(version) or _read(blob)
        self._manifests = listed
        return sorted(listed.values(), key=lambda manifest: (manifest.window.until, manifest.generation))

    def release(self) -> Release | None:
        return self._releases.read()[0].release

    def set_release(self, expected: Release | None, new: Release, verdict: Verdict | None = None) -> bool:
        manifests = {manifest.version: manifest for manifest in self.versions()}
        for version in new.traffic():
            if version not in manifests:
                raise InvalidInput(f"version {version!r}: is not one of: {', '.join(manifests) or 'none'}")
        if self._backend.split == "vertex" and new.challenger and not new.challenger_percent:
            raise InvalidInput(
                "release.canary_percent = 0: a shadow gets no requests where Vertex AI splits the traffic; "
                "give at least 1, or backend.split = 'container'"
            )
        state, generation = self._releases.read()
        verdicts = [*state.verdicts, *([verdict] if verdict else [])]
        replacement = state.model_copy(update={"release": new, "verdicts": verdicts})
        replaced = state.release == expected and self._releases.replace(replacement, generation)
        try:
            self._follower.reconcile(self.versions)
        except DeploymentFailed as failure:
            if replaced and expected and failure.name in new.traffic():
                self._roll_back(new, expected, failure)
            raise
        return replaced

    def tuned(self) -> Tuned | None:
        blob = self._bucket.get_blob(f"{self._backend.endpoint}/tuned.json")
        return Tuned.model_validate_json(blob.download_as_bytes()) if blob else None

    def set_tuned(self, tuned: Tuned) -> None:
        blob = self._bucket.blob(f"{self._backend.endpoint}/tuned.json")
        blob.upload_from_string(tuned.model_dump_json(), content_type="application/json")

    def reconcile(self) -> None:
        """Make the deployments match the release; also deploy again what could not be started before."""
        self._follower.reconcile(self.versions, retry_failed=True)

    def is_deployed(self, release: Release) -> bool:
        """Whether the deployments and their split are what the release needs."""
        endpoint = self._deployments.find()
        return endpoint is not None and self._deployments.split(endpoint) == self._follower.wanted(release)

    def _roll_back(self, new: Release, before: Release, failure: DeploymentFailed) -> None:
        """Restore the previous release, since a version of the new one could not be started, and record a verdict."""
        verdict = Verdict(
            version=failure.name, champion=before.champion, decision="rollback", by="platform", reason=str(failure)
        )

        def restore(state: ReleaseState) -> ReleaseState:
            release = before if state.release == new else state.release
            return state.model_copy(update={"release": release, "verdicts": [*state.verdicts, verdict]})

        self._releases.update(restore)
        self._follower.reconcile(self.versions)

    def add_verdict(self, verdict: Verdict) -> None:
        self._releases.update(lambda state: state.model_copy(update={"verdicts": [*state.verdicts, verdict]}))

    def verdicts(self, versions: Collection[str] | None = None) -> list[Verdict]:
        verdicts = self._releases.read()[0].verdicts
        return verdicts if versions is None else [verdict for verdict in verdicts if verdict.version in versions]

    def policy(self, version: str) -> Path:
        return download(self._bucket, self._prefix(version), self._cache / version, last=MANIFEST)

    def serving_versions(self) -> list[str]:
        endpoint = self._deployments.find()
        if endpoint is None or not endpoint.deployed_models:
            return []
        return list(self._deployments.split(endpoint) if self._backend.split == "vertex" else self._reports.read())

    def vitals(self) -> dict[str, Vitals]:
        return {} if self._backend.split == "vertex" else self._reports.read()

    def resources(self, version: str) -> dict[str, CloudResource]:
        endpoint = self._deployments.find()
        manifests = [manifest for manifest in self.versions() if manifest.version == version]
        if not (endpoint and manifests):
            return {}
        root = f"https://{self._backend.location}-aiplatform.googleapis.com/v1"
        names = {"model": self._registry.policy(manifests[0]), "endpoint": endpoint.name}
        return {kind: CloudResource(name, f"{root}/{name}") for kind, name in names.items()}

    def register_server(self, url: str) -> None:
        pass  # Vertex AI routes requests to its containers itself

    def report_vitals(self, vitals: dict[str, Vitals]) -> None:
        self._reports.write(vitals)

    def predict(self, instances: list[Any]) -> list[Decision]:
        endpoint = self._deployments.find()
        if endpoint is None or not endpoint.deployed_models:
            raise InvalidInput(f"endpoint {self._backend.endpoint}: nothing serves it; run the startup pipeline")
        return self._predictions.decisions(endpoint, instances)

    def _prefix(self, version: str) -> str:
        return f"{self._backend.endpoint}/versions/{version}"


def _read(blob: storage.Blob) -> Manifest:
    return Manifest.model_validate_json(blob.download_as_bytes())
