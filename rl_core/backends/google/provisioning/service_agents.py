"""The service agents: the accounts that Vertex AI and Pub/Sub use to act in a project.

Google creates them when a service is first used, too late for the roles that `up` grants them, so `up` requests them.
Agents that are created on request get no roles by themselves: https://cloud.google.com/iam/docs/create-service-agents
"""

import functools
from collections.abc import Callable

from google.api_core.exceptions import from_grpc_status
from google.cloud.resourcemanager_v3 import ProjectsClient

from banditloop.rl_core.backends.google.clients import admin_client
from banditloop.rl_core.backends.google.provisioning import rest
from banditloop.rl_core.backends.google.provisioning.iam_policy import Access, Member, ResourcePolicyStore
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend

ROLES = {"aiplatform": "roles/aiplatform.serviceAgent", "pubsub": "roles/pubsub.serviceAgent"}  # by service


def service_agent(backend: GoogleBackend, service: str) -> Callable[[], str]:
    """A function that returns the email of a service's agent, which contains the project number."""

    @functools.cache
    def email() -> str:
        project = admin_client(backend, ProjectsClient).get_project(name=f"projects/{backend.project}")
        return f"service-{project.name.rpartition('/')[2]}@gcp-sa-{service}.iam.gserviceaccount.com"

    return email


def project_policy(backend: GoogleBackend) -> ResourcePolicyStore:
    """The IAM policy of the project."""
    return ResourcePolicyStore(lambda: admin_client(backend, ProjectsClient), f"projects/{backend.project}")


class ServiceAgents:
    """The service agents with their roles on the project. They are never removed, as all of the project uses them."""

    def __init__(self, backend: GoogleBackend) -> None:
        roles: dict[str, list[Member]] = {role: [service_agent(backend, service)] for service, role in ROLES.items()}
        self._backend, self._access = backend, Access("project", project_policy(backend), roles)

    def __str__(self) -> str:
        return "service agents"

    def state(self) -> ResourceState:
        return self._access.state()

    def make(self) -> None:
        for service in ROLES:
            self._generate(service)
        self._access.make()  # refused, and retried, until the agents exist

    def remove(self) -> bool:
        return False

    def _generate(self, service: str) -> None:
        name = f"projects/{self._backend.project}/services/{service}.googleapis.com"
        operation = rest.call(self._backend, "POST", "serviceusage", f"v1beta1/{name}:generateServiceIdentity")
        if error := operation.get("error"):
            raise from_grpc_status(error["code"], f"{service}: {error['message']}")
