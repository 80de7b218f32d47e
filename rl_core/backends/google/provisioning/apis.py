"""The Google APIs that the loop uses."""

from functools import cached_property

from google.api_core.exceptions import Forbidden
from google.cloud.service_usage_v1 import ServiceUsageClient
from google.cloud.service_usage_v1 import State as ApiState

from banditloop.rl_core.backends.google.clients import admin_client
from banditloop.rl_core.backends.google.operations import wait
from banditloop.rl_core.backends.google.provisioning.resource import is_disabled
from banditloop.rl_core.errors import PlatformError
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend

ENABLE_SECONDS = 600.0
APIS = (
    "aiplatform",
    "artifactregistry",
    "bigquery",
    "bigquerystorage",
    "cloudresourcemanager",
    "cloudscheduler",
    "iam",
    "pubsub",
    "run",
    "storage",
)
BUILD_APIS = ("cloudbuild", "cloudfunctions")


class Apis:
    """The enabled APIs of the project. They are never disabled, as other users of the project may need them."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend, self._project = backend, f"projects/{backend.project}"
        self._apis = (*APIS, *(BUILD_APIS if backend.functions == "cloud-functions" else ()))

    def __str__(self) -> str:
        return "APIs"

    @cached_property
    def _client(self) -> ServiceUsageClient:
        return admin_client(self._backend, ServiceUsageClient)

    def state(self) -> ResourceState:
        return "missing" if self._disabled() else "present"

    def make(self) -> None:
        request = {"parent": self._project, "service_ids": self._disabled()}
        wait(self._client.batch_enable_services(request=request), ENABLE_SECONDS)

    def remove(self) -> bool:
        return False

    def _disabled(self) -> list[str]:
        names = [f"{self._project}/services/{api}.googleapis.com" for api in self._apis]
        try:
            services = self._client.batch_get_services(request={"parent": self._project, "names": names}).services
        except Forbidden as error:
            if not is_disabled(error):
                raise
            command = f"gcloud services enable serviceusage.googleapis.com --project={self._backend.project}"
            raise PlatformError(
                f"the Service Usage API, which enables the others, is disabled: run `{command}`"
            ) from None
        return [service.name.rpartition("/")[2] for service in services if service.state != ApiState.ENABLED]
