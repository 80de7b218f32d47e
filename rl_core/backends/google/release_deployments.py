"""The deployments that a release needs: one server or, where Vertex AI splits the traffic, one for each version."""

import hashlib
from collections.abc import Callable
from functools import cached_property, partial

from banditloop.rl_core.backends.google.deployment import DeploymentFailed, VertexDeployments
from banditloop.rl_core.backends.google.model_registry import ModelRegistry, server_config
from banditloop.rl_core.backends.google.release_object import ReleaseState, ReleaseStore
from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.policies.release import Release
from banditloop.rl_core.settings.backend import GoogleBackend


def server_name(config: Config, backend: GoogleBackend) -> str:
    """Name of the server, which changes with its image and with the part of the config that it reads."""
    digest = hashlib.sha256(f"{backend.image} {server_config(config)}".encode())
    return f"server-{digest.hexdigest()[:12]}"


class ReleaseDeployments:
    """Makes the deployments match the release."""

    def __init__(
        self,
        config: Config,
        backend: GoogleBackend,
        releases: ReleaseStore,
        deployments: VertexDeployments,
        registry: ModelRegistry,
    ) -> None:
        self._config, self._backend = config, backend
        self._releases, self._deployments, self._registry = releases, deployments, registry

    def reconcile(self, versions: Callable[[], list[Manifest]], retry_failed: bool = False) -> None:
        """Make the deployments match the release, repeatedly if the release changes meanwhile.

        versions: returns the manifests of the endpoint. retry_failed: also deploy what could not be started before.

        Raises:
            DeploymentFailed: Vertex AI could not start a needed deployment, now or before.
        """
        while release := self._releases.read()[0].release:
            wanted = self.wanted(release)
            if retry_failed:
                self._releases.update(lambda state: state.model_copy(update={"failed": {}}))
            self._refuse_failed(wanted)
            try:
                self._deployments.apply(wanted, partial(self._model, versions))
            except DeploymentFailed as failure:
                self._releases.update(partial(_with_failure, failure))
                raise
            if self._releases.read()[0].release == release:
                return

    def wanted(self, release: Release) -> dict[str, int]:
        """Percent of the traffic by name of what is to be deployed: the versions, or the one server."""
        return release.traffic() if self._backend.split == "vertex" else {self._server: 100}

    @cached_property
    def _server(self) -> str:
        return server_name(self._config, self._backend)

    def _model(self, versions: Callable[[], list[Manifest]], name: str) -> str:
        if name == self._server:
            return self._registry.server(name)
        return self._registry.policy(next(manifest for manifest in versions() if manifest.version == name))

    def _refuse_failed(self, wanted: dict[str, int]) -> None:
        """Raise if a missing deployment failed to start before: every attempt takes half an hour, and is billed."""
        failed = self._releases.read()[0].failed
        for name in self._deployments.missing(failed.keys() & wanted) if failed else []:
            raise DeploymentFailed(name, f"{failed[name]}; fix the cause, then run `banditloop cloud up`")


def _with_failure(failure: DeploymentFailed, state: ReleaseState) -> ReleaseState:
    return state.model_copy(update={"failed": state.failed | {failure.name: failure.reason}})
