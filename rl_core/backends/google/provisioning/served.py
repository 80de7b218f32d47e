"""What the loop itself makes in Vertex AI: runs, an endpoint with what is deployed there, a model of all versions."""

import tempfile
from functools import cached_property
from pathlib import Path

from google.api_core.exceptions import ServiceUnavailable
from google.cloud import aiplatform_v1 as vertex_ai

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import place, vertex
from rl_core.backends.google.endpoint import VertexEndpoint
from rl_core.backends.google.provisioning.resource import State, found
from rl_core.backends.google.runner import VertexRunner
from rl_core.backends.google.serving import DEPLOY_SECONDS, Serving
from rl_core.config import Config


class Versions:
    """The model, with a version for each policy that was served."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend
        self._name = f"{place(backend)}/models/{backend.endpoint}"

    def __str__(self) -> str:
        return f"model {self._backend.endpoint}"

    @cached_property
    def _client(self) -> vertex_ai.ModelServiceClient:
        return vertex(self._backend, vertex_ai.ModelServiceClient)

    def state(self) -> State:
        return "there" if found(self._client.get_model, name=self._name) else "later"

    def make(self) -> None:
        pass

    def remove(self) -> bool:
        self._client.delete_model(name=self._name).result(DEPLOY_SECONDS)
        return True


class Served:
    """The endpoint, brought to what the release says: where `down` has left the release, `up` serves it again."""

    def __init__(self, config: Config, backend: GoogleBackend) -> None:
        self._backend, self._serving = backend, Serving(config, backend)
        self._endpoint = VertexEndpoint(config, backend, Path(tempfile.gettempdir()))

    def __str__(self) -> str:
        return f"endpoint {self._backend.endpoint}"

    @cached_property
    def _client(self) -> vertex_ai.EndpointServiceClient:
        return vertex(self._backend, vertex_ai.EndpointServiceClient)

    def state(self) -> State:
        release, there = self._endpoint.release(), self._serving.find()
        if release is None:
            return "there" if there else "later"
        if there is None:
            return "missing"
        return "there" if self._serving.split(there) == release.traffic() else "changed"

    def make(self) -> None:
        self._endpoint.settle()

    def remove(self) -> bool:
        endpoint = self._serving.find()
        assert endpoint
        while endpoint.deployed_models:
            gone, *others = endpoint.deployed_models
            request = {
                "endpoint": endpoint.name,
                "deployed_model_id": gone.id,
                "traffic_split": {others[0].id: 100} if others else {},  # none may go that has traffic beside others
            }
            self._client.undeploy_model(request=request).result(DEPLOY_SECONDS)
            endpoint = self._client.get_endpoint(name=endpoint.name)
        self._client.delete_endpoint(name=endpoint.name).result(DEPLOY_SECONDS)
        return True


class Runs:
    """Pipelines that are running, or will at set times: one that ends after `down` would bring the endpoint back."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._runner = VertexRunner(backend)

    def __str__(self) -> str:
        return "running pipelines and schedules"

    def state(self) -> State:
        running = any(run.state == "running" for run in self._runner.runs())
        return "there" if running or self._runner.schedules() else "later"

    def make(self) -> None:
        pass

    def remove(self) -> bool:
        self._runner.stop()
        if running := [run.run_id for run in self._runner.runs() if run.state == "running"]:
            raise ServiceUnavailable(f"still ending: {', '.join(running)}")  # whoever is patient asks again
        return True
