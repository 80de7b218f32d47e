"""The functions in the form that the config chooses, and what is left of the other form."""

from collections.abc import Iterable

from banditloop.rl_core.backends.google.provisioning.account import ServiceAccount
from banditloop.rl_core.backends.google.provisioning.bucket_folder import BucketFolder
from banditloop.rl_core.backends.google.provisioning.cloud_functions import ARCHIVE, CloudFunction
from banditloop.rl_core.backends.google.provisioning.cloud_run import CloudRunService
from banditloop.rl_core.backends.google.provisioning.function_source import archive
from banditloop.rl_core.backends.google.provisioning.iam_policy import Access, Member
from banditloop.rl_core.backends.google.provisioning.resource import Service
from banditloop.rl_core.backends.google.provisioning.service_agents import project_policy
from banditloop.rl_core.backends.google.provisioning.superseded import Superseded
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Resource
from banditloop.rl_core.settings.backend import GoogleBackend

# On the project: Google makes the repository of the images and the bucket of its copies of the source itself.
BUILD_ROLES = ("roles/artifactregistry.writer", "roles/logging.logWriter", "roles/storage.objectViewer")


class Functions:
    """Functions of a config: Cloud Functions built from source, or Cloud Run services of the image.

    A switch loses no event: subscriptions push to the chosen form before the other one is removed.
    """

    def __init__(self, config: Config, backend: GoogleBackend) -> None:
        self._config, self._backend = config, backend
        self._from_source = backend.functions == "cloud-functions"
        self._source = BucketFolder(backend, "source", {ARCHIVE: archive(config.image.packages)})

    def chosen(self, function: str) -> Service:
        """A function in the chosen form."""
        return self._cloud_function(function) if self._from_source else self._service(function)

    def superseded(self, functions: Iterable[str]) -> list[Resource]:
        """Functions in the other form."""
        other = self._service if self._from_source else self._cloud_function
        return [Superseded(other(function)) for function in functions]

    def build(self) -> list[Resource]:
        """What Cloud Build needs, before any function."""
        return self._build() if self._from_source else []

    def superseded_build(self) -> list[Resource]:
        """What Cloud Build needed, after all functions that it built."""
        return [] if self._from_source else [Superseded(resource) for resource in self._build()[::-1]]

    def _build(self) -> list[Resource]:
        backend = self._backend
        roles: dict[str, list[Member]] = {role: [backend.account_email("build")] for role in BUILD_ROLES}
        return [
            self._source,
            ServiceAccount(backend, "build", "Cloud Build builds the functions as this account"),
            Access(f"project {backend.project} for builds", project_policy(backend), roles),
        ]

    def _cloud_function(self, function: str) -> Service:
        return CloudFunction(self._config, self._backend, function, self._source)

    def _service(self, function: str) -> Service:
        return CloudRunService(self._config, self._backend, function)
