"""The APIs of a project that the loop calls."""

from functools import cached_property

from google.cloud.service_usage_v1 import ServiceUsageClient
from google.cloud.service_usage_v1 import State as ApiState

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import administration
from rl_core.backends.google.provisioning.resource import State

SECONDS = 600.0
APIS = (
    "aiplatform",
    "bigquery",
    "bigquerystorage",
    "cloudresourcemanager",
    "cloudscheduler",
    "iam",
    "pubsub",
    "run",
    "storage",
)


class Apis:
    """They are enabled, and stay so: others may use them."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._project = f"projects/{backend.project}"

    def __str__(self) -> str:
        return "APIs"

    @cached_property
    def _client(self) -> ServiceUsageClient:
        return administration(ServiceUsageClient)

    def state(self) -> State:
        return "missing" if self._disabled() else "there"

    def make(self) -> None:
        request = {"parent": self._project, "service_ids": self._disabled()}
        self._client.batch_enable_services(request=request).result(SECONDS)

    def remove(self) -> bool:
        return False

    def _disabled(self) -> list[str]:
        names = [f"{self._project}/services/{api}.googleapis.com" for api in APIS]
        services = self._client.batch_get_services(request={"parent": self._project, "names": names}).services
        return [service.name.rpartition("/")[2] for service in services if service.state != ApiState.ENABLED]
