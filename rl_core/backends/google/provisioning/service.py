"""The functions as Cloud Run services.

Cloud Functions are Cloud Run services that Cloud Build makes of sources. Ours are in the one image already, pinned.
"""

from functools import cached_property

from google.cloud import run_v2

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import LABEL, administration, place
from rl_core.backends.google.provisioning.resource import State, differing, found
from rl_core.config import ENVIRONMENT_VARIABLE, Config

SECONDS = 900.0  # until a service is ready
REQUEST_SECONDS = 3600  # the longest that Cloud Run allows: a monitor's promotion deploys
MEMORY = "2Gi"


def services() -> run_v2.ServicesClient:
    """The client of Cloud Run services."""
    return administration(run_v2.ServicesClient)


class Service:
    """A function under functions-framework, which only Pub/Sub reaches. None runs while nothing comes."""

    def __init__(self, config: Config, backend: GoogleBackend, function: str, instances: int = 1) -> None:
        self._config, self._backend, self._function, self._instances = config, backend, function, instances
        self._id = f"{backend.endpoint}-{function}"
        self.name = f"{place(backend)}/services/{self._id}"

    def __str__(self) -> str:
        return f"service {self._id}"

    @cached_property
    def _client(self) -> run_v2.ServicesClient:
        return services()

    def address(self) -> str:
        """Where it listens; nowhere before it is made."""
        there = self._find()
        return there.uri if there else ""

    def state(self) -> State:
        there = self._find()
        return "missing" if there is None else "changed" if differing(there, self._wanted()) else "there"

    def make(self) -> None:
        wanted = self._wanted()
        if self._find() is None:
            request = {"parent": place(self._backend), "service": wanted, "service_id": self._id}
            self._client.create_service(request=request).result(SECONDS)
        else:
            wanted.name = self.name
            self._client.update_service(request={"service": wanted}).result(SECONDS)

    def remove(self) -> bool:
        self._client.delete_service(name=self.name).result(SECONDS)
        return True

    def _find(self) -> run_v2.Service | None:
        return found(self._client.get_service, name=self.name)

    def _wanted(self) -> run_v2.Service:
        source = f"--source=functions/{self._function}.py"
        container = {
            "image": self._backend.image,
            "command": ["functions-framework"],
            "args": [f"--target={self._function}", source, "--signature-type=cloudevent"],
            "env": [{"name": ENVIRONMENT_VARIABLE, "value": self._config.model_dump_json(exclude_none=True)}],
            "resources": {"limits": {"memory": MEMORY}, "cpu_idle": True},  # paid by the request
        }
        return run_v2.Service(
            labels={LABEL: self._backend.endpoint},
            ingress=run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY,
            template={
                "labels": {LABEL: self._backend.endpoint},
                "service_account": self._backend.account("functions"),
                "containers": [container],
                "max_instance_request_concurrency": 1,  # appends take turns, and so do looks
                "scaling": {"max_instance_count": self._instances},
                "timeout": {"seconds": REQUEST_SECONDS},
            },
        )
