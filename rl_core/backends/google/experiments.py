"""Vertex AI Experiments: runs with parameters and metrics, as Vertex AI Metadata keeps them."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from google.api_core.exceptions import AlreadyExists, NotFound
from google.cloud import aiplatform_v1 as vertex_ai

from banditloop.rl_core.backends.google.clients import location_name, resource_id, vertex_client
from banditloop.rl_core.backends.google.run_logs import CONSOLE
from banditloop.rl_core.ports import ExperimentRun
from banditloop.rl_core.settings.backend import GoogleBackend

STORE = "default"  # the metadata store that Vertex AI's console shows and its pipelines write to
VERSION = "0.0.1"  # of the schemas


class VertexExperiments:
    """The experiments of a loop: contexts of the schemas that Vertex AI's console and SDK read."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend, self._store = backend, f"{location_name(backend)}/metadataStores/{STORE}"
        self._client = vertex_client(backend, vertex_ai.MetadataServiceClient)

    def record(self, name: str, runs: Sequence[ExperimentRun]) -> str:
        """Record runs in the endpoint's experiment of this name, and return its page. Idempotent."""
        self._make_store()
        experiment = resource_id(f"{self._backend.endpoint}-{name}")
        parent = self._write(experiment, experiment, "system.Experiment", {"experiment_deleted": False})
        by_id = {resource_id(run.name): run for run in runs}
        children = [
            self._write(f"{experiment}-{id_}", id_, "system.ExperimentRun", _content(by_id[id_])) for id_ in by_id
        ]
        self._client.add_context_children(context=parent, child_contexts=children)
        path = f"locations/{self._backend.location}/experiments/{experiment}"
        return f"{CONSOLE}/vertex-ai/experiments/{path}?project={self._backend.project}"

    def _make_store(self) -> None:
        try:
            self._client.get_metadata_store(name=self._store)
        except NotFound:  # no pipeline has run here yet
            request = {"parent": location_name(self._backend), "metadata_store_id": STORE, "metadata_store": {}}
            with suppress(AlreadyExists):
                self._client.create_metadata_store(request).result()

    def _write(self, context_id: str, display_name: str, schema: str, metadata: Mapping[str, Any]) -> str:
        """Create a context, or update the one of this id; returns its resource name."""
        context = vertex_ai.Context(
            display_name=display_name, schema_title=schema, schema_version=VERSION, metadata=metadata
        )
        resource = f"{self._store}/contexts/{context_id}"
        try:
            self._client.create_context(parent=self._store, context=context, context_id=context_id)
        except AlreadyExists:
            context.name = resource
            self._client.update_context(context=context, update_mask={"paths": ["metadata"]})
        return resource


def _content(run: ExperimentRun) -> dict[str, Any]:
    """The metadata of a run. Parameters other than numbers and texts are written as JSON."""
    parameters = {
        key: value if isinstance(value, (int, float, str)) else json.dumps(value)
        for key, value in run.parameters.items()
    }
    return {"_params": parameters, "_metrics": dict(run.metrics), "_state": run.state}
