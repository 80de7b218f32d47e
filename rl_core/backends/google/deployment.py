"""Policy versions on Vertex AI: a model version for each in the registry, and one endpoint that splits the traffic."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property

from google.api_core.exceptions import Aborted, FailedPrecondition, NotFound
from google.cloud import aiplatform_v1 as vertex_ai

from banditloop.rl_core.backends.google.clients import LABEL, location_name, vertex_client
from banditloop.rl_core.backends.retries import retry_while
from banditloop.rl_core.config import ENVIRONMENT_VARIABLE, Config
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.ports import HEALTH_ROUTE, PREDICT_ROUTE
from banditloop.rl_core.settings.backend import GoogleBackend

PORT = 8080
COMMAND = ["python", "-m", "banditloop.functions.predictor"]
DEPLOY_SECONDS = 3600.0


def _is_being_changed(error: BaseException) -> bool:
    """Whether another caller is changing the endpoint. Vertex AI allows one change at a time."""
    return isinstance(error, Aborted | FailedPrecondition)


class VertexDeployments:
    """The deployments on the loop's one Vertex AI endpoint."""

    def __init__(self, config: Config, backend: GoogleBackend) -> None:
        self._config, self._backend = config, backend

    @cached_property
    def _endpoints(self) -> vertex_ai.EndpointServiceClient:
        return vertex_client(self._backend, vertex_ai.EndpointServiceClient)

    @cached_property
    def _models(self) -> vertex_ai.ModelServiceClient:
        return vertex_client(self._backend, vertex_ai.ModelServiceClient)

    def find(self) -> vertex_ai.Endpoint | None:
        """The endpoint, or None if it does not exist yet."""
        request = {"parent": location_name(self._backend), "filter": f'labels.{LABEL}="{self._backend.endpoint}"'}
        return next(iter(self._endpoints.list_endpoints(request=request)), None)

    def split(self, endpoint: vertex_ai.Endpoint) -> dict[str, int]:
        """Percent of the traffic by version, of the versions that get any."""
        percents = ((model.display_name, endpoint.traffic_split.get(model.id, 0)) for model in endpoint.deployed_models)
        return {version: percent for version, percent in percents if percent}

    @retry_while(_is_being_changed, DEPLOY_SECONDS, max_pause=30.0)
    def apply(self, traffic: dict[str, int], manifests: dict[str, Manifest]) -> None:
        """Deploy the versions of `traffic` (percent by version), set the split and undeploy all others. Idempotent."""
        endpoint = self.find() or self._create()
        deployed = {model.display_name: model.id for model in endpoint.deployed_models}
        for version in traffic.keys() - deployed.keys():
            self._deploy(endpoint, manifests[version])
            endpoint = self._endpoints.get_endpoint(name=endpoint.name)
        deployed = {model.display_name: model.id for model in endpoint.deployed_models}
        endpoint.traffic_split = {deployed[version]: percent for version, percent in traffic.items()}
        self._endpoints.update_endpoint(endpoint=endpoint, update_mask={"paths": ["traffic_split"]})
        for unused_id in {model.id for model in endpoint.deployed_models} - endpoint.traffic_split.keys():
            request = {"endpoint": endpoint.name, "deployed_model_id": unused_id}
            with suppress(NotFound):  # another caller, who applies the same release, was faster
                self._endpoints.undeploy_model(request=request).result(DEPLOY_SECONDS)

    def _create(self) -> vertex_ai.Endpoint:
        name, parent = self._backend.endpoint, location_name(self._backend)
        endpoint = vertex_ai.Endpoint(display_name=name, labels={LABEL: name})
        return self._endpoints.create_endpoint(parent=parent, endpoint=endpoint).result(DEPLOY_SECONDS)

    def _deploy(self, endpoint: vertex_ai.Endpoint, manifest: Manifest) -> None:
        backend = self._backend
        model = vertex_ai.DeployedModel(
            model=self._model(manifest),
            display_name=manifest.version,
            service_account=backend.service_account_email(),
            dedicated_resources={
                "machine_spec": {"machine_type": backend.serving_machine_type},
                "min_replica_count": backend.min_replicas,
                "max_replica_count": max(backend.min_replicas, backend.max_replicas),
            },
        )
        split = {**endpoint.traffic_split, "0": 0} if endpoint.deployed_models else {"0": 100}  # "0": the new model
        self._endpoints.deploy_model(endpoint=endpoint.name, deployed_model=model, traffic_split=split).result(
            DEPLOY_SECONDS
        )

    def _model(self, manifest: Manifest) -> str:
        """Resource name of a version in the model registry, uploaded if it is missing."""
        parent, model_id = location_name(self._backend), self._backend.endpoint
        name = f"{parent}/models/{model_id}"
        try:
            return self._models.get_model(name=f"{name}@{manifest.version}").name
        except NotFound:
            pass
        request = {"parent": parent, "model": self._model_version(manifest), "model_id": model_id}
        try:
            self._models.get_model(name=name)
        except NotFound:
            return self._upload(request)
        return self._upload({**request, "model_id": "", "parent_model": name})

    def _model_version(self, manifest: Manifest) -> vertex_ai.Model:
        backend = self._backend
        return vertex_ai.Model(
            display_name=backend.endpoint,
            version_aliases=[manifest.version],
            version_description=f"trained on {manifest.interactions:,} interactions; parent: {manifest.parent}",
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

    def _upload(self, request: Mapping[str, object]) -> str:
        response = self._models.upload_model(request=request).result(DEPLOY_SECONDS)
        return f"{response.model}@{response.model_version_id}"
