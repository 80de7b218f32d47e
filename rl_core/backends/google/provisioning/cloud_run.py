"""The functions as Cloud Run services of the pinned image, which contains them: nothing is built."""

from functools import cached_property

from google.cloud import run_v2

from banditloop.rl_core.backends.google.clients import LABEL, admin_client, location_name
from banditloop.rl_core.backends.google.operations import wait
from banditloop.rl_core.backends.google.provisioning.resource import changed_fields, get_or_none
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE

READY_SECONDS = 900.0
REQUEST_SECONDS = 3600  # Cloud Run's maximum: a promotion by the monitor waits for a deployment
MEMORY = "2Gi"


def services_client(backend: GoogleBackend) -> run_v2.ServicesClient:
    """The client of Cloud Run services."""
    return admin_client(backend, run_v2.ServicesClient)


class CloudRunService:
    """A function under functions-framework, reachable by Pub/Sub only. It scales to zero between requests."""

    def __init__(self, config: Config, backend: GoogleBackend, function: str) -> None:
        self._config, self._backend, self._function = config, backend, function
        self._id = f"{backend.endpoint}-{function}"
        self.name = f"{location_name(backend)}/services/{self._id}"

    def __str__(self) -> str:
        return f"service {self._id}"

    @cached_property
    def _client(self) -> run_v2.ServicesClient:
        return services_client(self._backend)

    def url(self) -> str:
        """The service's URL; empty if the service does not exist yet."""
        current = self._find()
        return current.uri if current else ""

    def state(self) -> ResourceState:
        current = self._find()
        if current is None:
            return "missing"
        return "changed" if changed_fields(current, self._desired()) else "present"

    def make(self) -> None:
        desired = self._desired()
        if self._find() is None:
            request = {"parent": location_name(self._backend), "service": desired, "service_id": self._id}
            wait(self._client.create_service(request=request), READY_SECONDS)
        else:
            desired.name = self.name
            wait(self._client.update_service(request={"service": desired}), READY_SECONDS)

    def remove(self) -> bool:
        wait(self._client.delete_service(name=self.name), READY_SECONDS)
        return True

    def _find(self) -> run_v2.Service | None:
        return get_or_none(self._client.get_service, name=self.name)

    def _desired(self) -> run_v2.Service:
        source = f"--source=functions/{self._function}.py"
        container = {
            "image": self._backend.image,
            "command": ["functions-framework"],
            "args": [f"--target={self._function}", source, "--signature-type=cloudevent"],
            "env": [{"name": ENVIRONMENT_VARIABLE, "value": self._config.model_dump_json(exclude_none=True)}],
            "resources": {"limits": {"memory": MEMORY}, "cpu_idle": True},  # billed only during requests
        }
        return run_v2.Service(
            labels={LABEL: self._backend.endpoint},
            ingress=run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY,
            template={
                "labels": {LABEL: self._backend.endpoint},
                "service_account": self._backend.account_email("functions"),
                "containers": [container],
                "max_instance_request_concurrency": 1,  # appends and checks run one at a time
                "scaling": {"max_instance_count": 1},
                "timeout": {"seconds": REQUEST_SECONDS},
            },
        )
