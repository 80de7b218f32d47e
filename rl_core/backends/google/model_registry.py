"""Model versions of the loop in Vertex AI's registry: one for every policy, and one for the server of the release."""

from contextlib import suppress
from functools import cached_property

from google.api_core.exceptions import AlreadyExists, NotFound
from google.cloud import aiplatform_v1 as vertex_ai

from banditloop.rl_core.backends.google.clients import LABEL, location_name, vertex_client
from banditloop.rl_core.backends.google.operations import wait
from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.ports import HEALTH_ROUTE, PREDICT_ROUTE
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE

PORT = 8080
COMMAND = ["python", "-m", "banditloop.functions.predictor"]
REGISTER_SECONDS = 3600.0
NEWEST = "default"  # alias of the version that a name without a version refers to
NOT_SERVED = {"retraining", "gate", "training", "retention", "agent"}  # sections that the server does not read


def server_config(config: Config) -> str:
    """The config of the server, as JSON: only what serving depends on, so that no other change deploys it again."""
    return config.model_dump_json(exclude_none=True, exclude=NOT_SERVED)


class ModelRegistry:
    """The loop's models. A model version is found by its alias: the version of the policy, or the server's name.

    Its resource name has the number of the version. A name without one would mean the default version.
    """

    def __init__(self, config: Config, backend: GoogleBackend) -> None:
        self._config, self._backend = config, backend

    @cached_property
    def _models(self) -> vertex_ai.ModelServiceClient:
        return vertex_client(self._backend, vertex_ai.ModelServiceClient)

    def policy(self, manifest: Manifest) -> str:
        """Resource name of a policy's model version, uploaded if it is missing."""
        backend = self._backend
        model = vertex_ai.Model(
            display_name=backend.endpoint,
            version_description=f"trained on {manifest.interactions:,} interactions; parent: {manifest.parent}",
            labels={LABEL: backend.endpoint, "generation": str(manifest.generation), "run": manifest.run[:63]},
            artifact_uri=f"gs://{backend.bucket}/{backend.endpoint}/versions/{manifest.version}",
            container_spec=self._container(self._config.model_dump_json(exclude_none=True)),
        )
        return self._register(backend.endpoint, manifest.version, model)

    def server(self, name: str) -> str:
        """Resource name of the server's model version, uploaded if it is missing. It has no artifact of its own."""
        model = vertex_ai.Model(
            display_name=f"{self._backend.endpoint}-server",
            version_description="serves the release of the endpoint",
            labels={LABEL: self._backend.endpoint},
            container_spec=self._container(server_config(self._config)),
        )
        return self._register(f"{self._backend.endpoint}-server", name, model)

    def remove(self, version: str) -> None:
        """Remove a policy's model version. Idempotent. The default version stays: a model must have one."""
        try:
            model = self._models.get_model(name=f"{self._name(self._backend.endpoint)}@{version}")
        except NotFound:
            return
        if NEWEST not in model.version_aliases:
            name = f"{self._name(self._backend.endpoint)}@{model.version_id}"
            wait(self._models.delete_model_version(name=name), REGISTER_SECONDS)

    def _register(self, model_id: str, alias: str, model: vertex_ai.Model) -> str:
        name = self._name(model_id)
        if number := self._number(f"{name}@{alias}"):
            return f"{name}@{number}"
        model.version_aliases = [alias, NEWEST]
        if self._number(name) is None:
            with suppress(AlreadyExists):  # another caller was faster
                return self._upload(model, model_id=model_id)
        return self._upload(model, parent_model=name)

    def _upload(self, model: vertex_ai.Model, **place: str) -> str:
        request = {"parent": location_name(self._backend), "model": model, **place}
        response = wait(self._models.upload_model(request=request), REGISTER_SECONDS)
        return f"{response.model.partition('@')[0]}@{response.model_version_id}"

    def _number(self, name: str) -> str | None:
        try:
            return self._models.get_model(name=name).version_id
        except NotFound:
            return None

    def _name(self, model_id: str) -> str:
        return f"{location_name(self._backend)}/models/{model_id}"

    def _container(self, config: str) -> vertex_ai.ModelContainerSpec:
        return vertex_ai.ModelContainerSpec(
            image_uri=self._backend.image,
            command=COMMAND,
            ports=[{"container_port": PORT}],
            predict_route=PREDICT_ROUTE,
            health_route=HEALTH_ROUTE,
            env=[{"name": ENVIRONMENT_VARIABLE, "value": config}],
        )
