"""Vertex AI TensorBoard: the curves of a training as series of numbers, under the endpoint's name."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from google.api_core.exceptions import AlreadyExists
from google.cloud import aiplatform_v1 as vertex_ai

from banditloop.rl_core.backends.google.clients import resource_id, vertex_client
from banditloop.rl_core.ports import Scalars
from banditloop.rl_core.settings.backend import GoogleBackend

MAX_POINTS = 1_000  # in a request, which Vertex AI limits in bytes
SCALAR = vertex_ai.TensorboardTimeSeries.ValueType.SCALAR


class VertexTensorBoard:
    """An instance of Vertex AI TensorBoard, by the resource name in the backend section."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend
        self._client = vertex_client(backend, vertex_ai.TensorboardServiceClient)

    def show(self, name: str, scalars: Mapping[str, Scalars]) -> str:
        """Write series of numbers as the run `name` of the endpoint's experiment, and return its page. Idempotent."""
        experiment = f"{self._backend.tensorboard}/experiments/{self._backend.endpoint}"
        run = f"{experiment}/runs/{resource_id(name)}"
        about: dict[str, Any] = {"parent": self._backend.tensorboard}
        with suppress(AlreadyExists):
            self._client.create_tensorboard_experiment(about | {"tensorboard_experiment_id": self._backend.endpoint})
        about = {
            "parent": experiment,
            "tensorboard_run_id": resource_id(name),
            "tensorboard_run": {"display_name": name},
        }
        with suppress(AlreadyExists):
            self._client.create_tensorboard_run(about)
        for tag in scalars:
            series = {"display_name": tag, "value_type": SCALAR, "plugin_name": "scalars"}
            about = {"parent": run, "tensorboard_time_series_id": resource_id(tag), "tensorboard_time_series": series}
            with suppress(AlreadyExists):
                self._client.create_tensorboard_time_series(about)
        for series in _requests(scalars):
            self._client.write_tensorboard_run_data(tensorboard_run=run, time_series_data=[series])
        return self._page(experiment)

    def _page(self, experiment: str) -> str:
        host = f"{self._backend.location}.tensorboard.googleusercontent.com"
        return f"https://{host}/experiment/{experiment.replace('/', '+')}"


def _requests(scalars: Mapping[str, Scalars]) -> Iterator[dict[str, Any]]:
    """The points of all series, in parts that fit into a request."""
    now = datetime.now(UTC)
    for tag, points in scalars.items():
        for start in range(0, len(points), MAX_POINTS):
            part = points[start : start + MAX_POINTS]
            values = [{"step": step, "scalar": {"value": value}, "wall_time": now} for step, value in part]
            yield {"tensorboard_time_series_id": resource_id(tag), "value_type": SCALAR, "values": values}
