"""The versions on Vertex AI: a model version for each in the registry, and one endpoint that splits the traffic."""

from collections.abc import Mapping
from functools import cached_property

from google.api_core.exceptions import Aborted, FailedPrecondition, NotFound
from google.cloud import aiplatform_v1 as vertex_ai
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from rl_core.backend import GoogleBackend
from rl_core.backends import HEALTH_ROUTE, PREDICT_ROUTE
from rl_core.backends.google.clients import LABEL, place, vertex
from rl_core.config import ENVIRONMENT_VARIABLE, Config
from rl_core.manifest import Manifest

PORT = 8080
COMMAND = ["python", "-m", "functions.predictor"]
DEPLOY_SECONDS = 3600.0
one_at_a_time = retry(  # Vertex AI lets an endpoint be changed by one caller at a time
    retry=retry_if_exception_type((Aborted, FailedPrecondition)),
    wait=wait_random_exponential(multiplier=1, max=30),
    stop=stop_after_delay(DEPLOY_SECONDS),
    reraise=True,
)


class Serving:
    """Brings the one Vertex AI endpoint of a loop to what a release says."""

    def __init__(self, config: Config, backend: GoogleBackend) -> None:
        self._config, self._backend = config, backend

    @cached_property
    def _endpoints(self) -> vertex_ai.EndpointServiceClient:
        return vertex(self._backend, vertex_ai.EndpointServiceClient)

    @cached_property
    def _models(self) -> vertex_ai.ModelServiceClient:
        return vertex(self._backend, vertex_ai.ModelServiceClient)

    def find(self) -> vertex_ai.Endpoint | None:
        """The endpoint, or None before there is one."""
        wanted = f'labels.{LABEL}="{self._backend.endpoint}"'
        found = self._endpoints.list_endpoints(request={"parent": place(self._backend), "filter": wanted})
        return next(iter(found), None)

    def split(self, endpoint: vertex_ai.Endpoint) -> dict[str, int]:
        """The versions that answer, with their share of the requests in percent."""
        shares = ((model.display_name, endpoint.traffic_split.get(model.id, 0)) for model in endpoint.deployed_models)
        return {version: percent for version, percent in shares if percent}

    @one_at_a_time
    def bring(self, traffic: dict[str, int], manifests: dict[str, Manifest]) -> None:
        """Deploy the versions of the traffic, in percent, split it, and undeploy all others. Once is enough."""
        endpoint = self.find() or self._create()
        deployed = {model.display_name: model.id for model in endpoint.deployed_models}
        for version in traffic.keys() - deployed.keys():
            self._deploy(endpoint, manifests[version])
            endpoint = self._endpoints.get_endpoint(name=endpoint.name)
        deployed = {model.display_name: model.id for model in endpoint.deployed_models}
        endpoint.traffic_split = {deployed[version]: percent for version, percent in traffic.items()}
        self._endpoints.update_endpoint(endpoint=endpoint, update_mask={"paths": ["traffic_split"]})
        for gone in {model.id for model in endpoint.deployed_models} - endpoint.traffic_split.keys():
            request = {"endpoint": endpoint.name, "deployed_model_id": gone}
            self._endpoints.undeploy_model(request=request).result(DEPLOY_SECONDS)

    def _create(self) -> vertex_ai.Endpoint:
        name = self._backend.endpoint
        endpoint = vertex_ai.Endpoint(display_name=name, labels={LABEL: name})
        return self._endpoints.create_endpoint(parent=place(self._backend), endpoint=endpoint).result(DEPLOY_SECONDS)

    def _deploy(self, endpoint: vertex_ai.Endpoint, manifest: Manifest) -> None:
        backend = self._backend
        model = vertex_ai.DeployedModel(
            model=self._model(manifest),
            display_name=manifest.version,
            service_account=backend.runs_as(),
            dedicated_resources={
                "machine_spec": {"machine_type": backend.machine},
                "min_replica_count": backend.replicas,
                "max_replica_count": max(backend.replicas, backend.most_replicas),
            },
        )
        split = {**endpoint.traffic_split, "0": 0} if endpoint.deployed_models else {"0": 100}
        self._endpoints.deploy_model(endpoint=endpoint.name, deployed_model=model, traffic_split=split).result(
            DEPLOY_SECONDS
        )

    def _model(self, manifest: Manifest) -> str:
        """The name of a version in the registry, where it is put if it is not there."""
        backend, models = self._backend, f"{place(self._backend)}/models"
        try:
            return self._models.get_model(name=f"{models}/{backend.endpoint}@{manifest.version}").name
        except NotFound:
            pass
        model = vertex_ai.Model(
            display_name=backend.endpoint,
            version_aliases=[manifest.version],
            version_description=f"of {manifest.interactions:,} interactions, after {manifest.parent}",
            labels={LABEL: backend.endpoint, "generation": str(manifest.generation), "run": manifest.run[:63]},
            artifact_uri=f"gs://{backend.bucket}/{backend.endpoint}/versions/{manifest.version}",
            container_spec={
                "image_uri": backend.image,
                "command": COMMAND,
                "ports": [{"container_port": PORT}],
                "predict_route": PREDICT_ROUTE,
                "health_route": HEALTH_ROUTE,
                "env": [{"name": ENVIRONMENT_VARIABLE, "value": self._config.model_dump_json(exclude_none=True)}],
            },
        )
        request = {"parent": place(backend), "model": model, "model_id": backend.endpoint}
        try:
            self._models.get_model(name=f"{models}/{backend.endpoint}")
        except NotFound:
            return self._upload(request)
        return self._upload({**request, "model_id": "", "parent_model": f"{models}/{backend.endpoint}"})

    def _upload(self, request: Mapping[str, object]) -> str:
        made = self._models.upload_model(request=request).result(DEPLOY_SECONDS)
        return f"{made.model}@{made.model_version_id}"
