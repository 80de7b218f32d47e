"""Checks of the container image, which find a problem before a deployment fails on it after minutes.

Vertex AI pulls the image as its service agent, whatever account the container runs as:
https://cloud.google.com/vertex-ai/docs/general/custom-service-account
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from google.api_core.exceptions import NotFound

from banditloop.rl_core.backends.google.provisioning import rest
from banditloop.rl_core.backends.google.provisioning.resource import is_disabled
from banditloop.rl_core.backends.google.provisioning.service_agents import service_agent
from banditloop.rl_core.backends.google.retry_policy import GOOGLE
from banditloop.rl_core.backends.retries import call_with_retries
from banditloop.rl_core.errors import PlatformError
from banditloop.rl_core.settings.backend import GoogleBackend

IMAGE = re.compile(
    r"(?P<location>[\w-]+)-docker\.pkg\.dev/(?P<project>[\w-]+)/(?P<repository>[\w-]+)/(?P<package>[\w./-]+)"
    r"(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]+))?"
)
READER = "roles/artifactregistry.reader"
READERS = {READER, "roles/artifactregistry.writer", "roles/artifactregistry.repoAdmin", "roles/artifactregistry.admin"}


def warnings(backend: GoogleBackend) -> Iterator[str]:
    """One line for each problem: the image cannot be checked, is missing, or Vertex AI may not read its repository."""
    if not (match := IMAGE.fullmatch(backend.image)):
        yield f"backend.image = {backend.image!r}: is not in Artifact Registry, so nothing could be checked"
        return
    image = match.groupdict()
    repository = f"projects/{image['project']}/locations/{image['location']}/repositories/{image['repository']}"
    yield from _missing(backend, repository, image)
    if image["project"] != backend.project:
        yield from _unreadable(backend, repository, image)


def _missing(backend: GoogleBackend, repository: str, image: dict[str, str]) -> Iterator[str]:
    version = f"versions/{image['digest']}" if image["digest"] else f"tags/{image['tag']}"
    path = f"v1/{repository}/packages/{quote(image['package'], safe='')}/{version}"
    try:
        _get(backend, path)
    except PlatformError as error:
        is_registry_disabled = image["project"] == backend.project and is_disabled(error.__cause__)
        is_missing = is_registry_disabled or isinstance(error.__cause__, NotFound)
        reason = (
            "is not there yet: `make image IMAGE=…`, and push it" if is_missing else f"cannot be looked up: {error}"
        )
        yield f"backend.image = {backend.image!r}: {reason}"


def _unreadable(backend: GoogleBackend, repository: str, image: dict[str, str]) -> Iterator[str]:
    """A warning with the command that lets Vertex AI read the repository, unless that was granted there."""
    try:
        member = f"serviceAccount:{call_with_retries(GOOGLE, service_agent(backend, 'aiplatform'))}"
        policy = _get(backend, f"v1/{repository}:getIamPolicy")
        roles = {binding["role"] for binding in policy.get("bindings", ()) if member in binding["members"]}
        if roles & READERS:
            return
    except PlatformError:  # the project's APIs are not enabled yet, or we may not read the policy
        member = "serviceAccount:service-PROJECT_NUMBER@gcp-sa-aiplatform.iam.gserviceaccount.com"
    yield (
        f"backend.image = {backend.image!r}: is of project {image['project']}, where Vertex AI needs access: "
        f"`gcloud artifacts repositories add-iam-policy-binding {image['repository']} --project={image['project']} "
        f"--location={image['location']} --member={member} --role={READER}`"
    )


def _get(backend: GoogleBackend, path: str) -> dict[str, Any]:
    return call_with_retries(GOOGLE, rest.call, backend, "GET", "artifactregistry", path)
