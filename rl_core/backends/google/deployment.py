"""Deployments on the loop's one Vertex AI endpoint: model versions, and the share of the traffic that each gets."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import cached_property, partial
from typing import TypeVar

from google.api_core.exceptions import Aborted, FailedPrecondition, NotFound
from google.cloud import aiplatform_v1 as vertex_ai
from google.longrunning.operations_pb2 import ListOperationsRequest

from banditloop.rl_core.backends.google.clients import LABEL, location_name, vertex_client
from banditloop.rl_core.backends.google.operations import OperationFailed, wait
from banditloop.rl_core.backends.retries import retry_while
from banditloop.rl_core.errors import PlatformError
from banditloop.rl_core.settings.backend import GoogleBackend

DEPLOY_SECONDS = 3600.0
T = TypeVar("T")


class DeploymentFailed(PlatformError):
    """Vertex AI could not start a deployment. The message ends with Vertex AI's own."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: Vertex AI could not start it: {' '.join(reason.split())}")
        self.name, self.reason = name, reason


class EndpointBusy(Exception):
    """Another operation is changing the endpoint. Vertex AI allows one change at a time."""


class VertexDeployments:
    """The deployments on the loop's endpoint, by display name: the version of a policy, or the server's name."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend

    @cached_property
    def _endpoints(self) -> vertex_ai.EndpointServiceClient:
        return vertex_client(self._backend, vertex_ai.EndpointServiceClient)

    def find(self) -> vertex_ai.Endpoint | None:
        """The endpoint, or None if it does not exist yet."""
        request = {"parent": location_name(self._backend), "filter": f'labels.{LABEL}="{self._backend.endpoint}"'}
        return next(iter(self._endpoints.list_endpoints(request=request)), None)

    def split(self, endpoint: vertex_ai.Endpoint) -> dict[str, int]:
        """Percent of the traffic by name, of the deployments that get any."""
        percents = ((model.display_name, endpoint.traffic_split.get(model.id, 0)) for model in endpoint.deployed_models)
        return {name: percent for name, percent in percents if percent}

    def missing(self, names: Collection[str]) -> list[str]:
        """The names that are not deployed."""
        endpoint = self.find()
        deployed = {model.display_name for model in endpoint.deployed_models} if endpoint else set()
        return [name for name in names if name not in deployed]

    @retry_while(lambda error: isinstance(error, EndpointBusy), DEPLOY_SECONDS, max_pause=30.0)
    def apply(self, traffic: Mapping[str, int], model: Callable[[str], str]) -> None:
        """Deploy the missing names of `traffic` (percent by name), set the split, undeploy all others. Idempotent.

        model: returns the resource name of the model version that is to be deployed under a name.

        Raises:
            DeploymentFailed: the operation failed, or is not done after DEPLOY_SECONDS; the split stays as it was.
        """
        endpoint = self.find() or self._create()
        for name in traffic.keys() - {deployed.display_name for deployed in endpoint.deployed_models}:
            self._deploy(endpoint, name, model(name))
            endpoint = self._endpoints.get_endpoint(name=endpoint.name)
        deployed = {model.display_name: model.id for model in endpoint.deployed_models}
        endpoint.traffic_split = {deployed[name]: percent for name, percent in traffic.items()}
        update = {"endpoint": endpoint, "update_mask": {"paths": ["traffic_split"]}}
        self._unless_busy(endpoint, partial(self._endpoints.update_endpoint, **update))
        for unused_id in {model.id for model in endpoint.deployed_models} - endpoint.traffic_split.keys():
            request = {"endpoint": endpoint.name, "deployed_model_id": unused_id}
            with suppress(NotFound):  # another caller, who applies the same release, was faster
                wait(
                    self._unless_busy(endpoint, partial(self._endpoints.undeploy_model, request=request)),
                    DEPLOY_SECONDS,
                )

    def _create(self) -> vertex_ai.Endpoint:
        name, parent = self._backend.endpoint, location_name(self._backend)
        endpoint = vertex_ai.Endpoint(
            display_name=name, labels={LABEL: name}, dedicated_endpoint_enabled=self._backend.dedicated_endpoint
        )
        return wait(self._endpoints.create_endpoint(parent=parent, endpoint=endpoint), DEPLOY_SECONDS)

    def _deploy(self, endpoint: vertex_ai.Endpoint, name: str, model: str) -> None:
        backend = self._backend
        request = {
            "endpoint": endpoint.name,
            "deployed_model": vertex_ai.DeployedModel(
                model=model,
                display_name=name,
                service_account=backend.service_account_email(),
                dedicated_resources={
                    "machine_spec": {"machine_type": backend.serving_machine_type},
                    "min_replica_count": backend.min_replicas,
                    "max_replica_count": max(backend.min_replicas, backend.max_replicas),
                },
            ),
            # "0" is this model. If others are deployed, it gets no traffic until the split is set.
            "traffic_split": {} if endpoint.deployed_models else {"0": 100},
        }
        try:
            operation = self._unless_busy(endpoint, partial(self._endpoints.deploy_model, request=request))
            wait(operation, DEPLOY_SECONDS, f"{name}: is being deployed, which takes Vertex AI 10 to 20 minutes")
        except OperationFailed as failure:
            raise DeploymentFailed(name, str(failure)) from None

    def _unless_busy(self, endpoint: vertex_ai.Endpoint, call: Callable[[], T]) -> T:
        """The result of a call. EndpointBusy: it was refused because of another operation on the endpoint."""
        try:
            return call()
        except (Aborted, FailedPrecondition) as error:
            if isinstance(error, Aborted) or self._is_changing(endpoint):
                raise EndpointBusy(error.message) from error
            raise

    def _is_changing(self, endpoint: vertex_ai.Endpoint) -> bool:
        """Whether an operation on the endpoint is running, or has ended since the endpoint was read."""
        operations = self._endpoints.list_operations(ListOperationsRequest(name=endpoint.name)).operations
        latest = self._endpoints.get_endpoint(name=endpoint.name)
        return any(not operation.done for operation in operations) or latest.deployed_models != endpoint.deployed_models
