"""Vertex AI resources that the loop creates at run time: runs, the endpoint with its deployments, and the model."""

from functools import cached_property

from google.api_core.exceptions import ServiceUnavailable
from google.cloud import aiplatform_v1 as vertex_ai

from banditloop.rl_core.backends.google.clients import location_name, vertex_client
from banditloop.rl_core.backends.google.deployment import DEPLOY_SECONDS, VertexDeployments
from banditloop.rl_core.backends.google.endpoint import VertexEndpoint
from banditloop.rl_core.backends.google.operations import wait
from banditloop.rl_core.backends.google.provisioning.resource import get_or_none
from banditloop.rl_core.backends.google.remote_runner import remote_runner
from banditloop.rl_core.backends.google.scratch import scratch_folder
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend


class ModelResource:
    """A model in the registry: of the policies, with a model version for each, or of the server."""

    def __init__(self, backend: GoogleBackend, suffix: str = "") -> None:
        self._backend, self._id = backend, f"{backend.endpoint}{suffix}"
        self._name = f"{location_name(backend)}/models/{self._id}"

    def __str__(self) -> str:
        return f"model {self._id}"

    @cached_property
    def _client(self) -> vertex_ai.ModelServiceClient:
        return vertex_client(self._backend, vertex_ai.ModelServiceClient)

    def state(self) -> ResourceState:
        return "present" if get_or_none(self._client.get_model, name=self._name) else "deferred"

    def make(self) -> None:
        pass

    def remove(self) -> bool:
        wait(self._client.delete_model(name=self._name), DEPLOY_SECONDS)
        return True


class EndpointResource:
    """The endpoint and its deployments. `down` keeps the release, so that `up` deploys its versions again."""

    def __init__(self, config: Config, backend: GoogleBackend) -> None:
        self._backend, self._deployments = backend, VertexDeployments(backend)
        self._endpoint = VertexEndpoint(config, backend, scratch_folder(backend) / "policies")

    def __str__(self) -> str:
        return f"endpoint {self._backend.endpoint}"

    @cached_property
    def _client(self) -> vertex_ai.EndpointServiceClient:
        return vertex_client(self._backend, vertex_ai.EndpointServiceClient)

    def state(self) -> ResourceState:
        release, current = self._endpoint.release(), self._deployments.find()
        if release is None:
            return "present" if current else "deferred"
        if current is None:
            return "missing"
        return "present" if self._endpoint.is_deployed(release) else "changed"

    def make(self) -> None:
        self._endpoint.reconcile()

    def remove(self) -> bool:
        endpoint = self._deployments.find()
        assert endpoint
        while endpoint.deployed_models:
            model, *remaining = endpoint.deployed_models
            request = {
                "endpoint": endpoint.name,
                "deployed_model_id": model.id,
                # a model with traffic can only be undeployed if another takes over, or if it is the last
                "traffic_split": {remaining[0].id: 100} if remaining else {},
            }
            wait(self._client.undeploy_model(request=request), DEPLOY_SECONDS)
            endpoint = self._client.get_endpoint(name=endpoint.name)
        wait(self._client.delete_endpoint(name=endpoint.name), DEPLOY_SECONDS)
        return True


class RunsResource:
    """Running pipelines, and schedules. A run that outlived `down` would create the endpoint again."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._runner = remote_runner(backend)

    def __str__(self) -> str:
        return "running pipelines and schedules"

    def state(self) -> ResourceState:
        return "present" if self._running() or self._runner.schedules() else "deferred"

    def make(self) -> None:
        pass

    def remove(self) -> bool:
        self._runner.stop()
        if run_ids := self._running():
            raise ServiceUnavailable(f"still being cancelled: {', '.join(run_ids)}")  # transient, so it is retried
        return True

    def _running(self) -> list[str]:
        return [run.run_id for run in self._runner.runs() if run.state == "running"]
