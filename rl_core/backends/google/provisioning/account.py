"""Service accounts: one for pipelines and served versions, one for the functions, one for Pub/Sub's push requests."""

from functools import cached_property

from google.cloud.iam_admin_v1 import IAMClient

from banditloop.rl_core.backends.google.clients import admin_client
from banditloop.rl_core.backends.google.provisioning.resource import get_or_none
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend


class ServiceAccount:
    """A service account, named after the endpoint."""

    def __init__(self, backend: GoogleBackend, name: str, purpose: str) -> None:
        self._backend, self._purpose = backend, purpose
        self._id = f"{backend.endpoint}-{name}"
        self.name = f"projects/{backend.project}/serviceAccounts/{backend.account_email(name)}"

    def __str__(self) -> str:
        return f"service account {self._id}"

    @cached_property
    def _client(self) -> IAMClient:
        return admin_client(self._backend, IAMClient)

    def state(self) -> ResourceState:
        return "present" if get_or_none(self._client.get_service_account, name=self.name) else "missing"

    def make(self) -> None:
        account = {"display_name": f"banditloop {self._backend.endpoint}", "description": self._purpose}
        request = {"name": f"projects/{self._backend.project}", "account_id": self._id, "service_account": account}
        self._client.create_service_account(request=request)

    def remove(self) -> bool:
        self._client.delete_service_account(name=self.name)
        return True
