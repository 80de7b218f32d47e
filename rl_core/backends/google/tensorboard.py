"""Vertex AI TensorBoard: training curves as series of numbers, and profiles as files, in the endpoint's experiment."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.api_core.exceptions import AlreadyExists
from google.cloud import aiplatform_v1 as vertex_ai
from google.cloud import storage

from banditloop.rl_core.backends.google.clients import credentials, resource_id, vertex_client
from banditloop.rl_core.ports import TRACES, Scalars
from banditloop.rl_core.settings.backend import GoogleBackend

TRACE_TIME = "%Y_%m_%d_%H_%M_%S"  # the name of the folder of a trace
MAX_POINTS = 1_000  # in a request, which Vertex AI limits in bytes
SCALAR = vertex_ai.TensorboardTimeSeries.ValueType.SCALAR
FILES = vertex_ai.TensorboardTimeSeries.ValueType.BLOB_SEQUENCE


class VertexTensorBoard:
    """An instance of Vertex AI TensorBoard, by the resource name in the backend section."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend
        self._client = vertex_client(backend, vertex_ai.TensorboardServiceClient)

    def show(self, name: str, scalars: Mapping[str, Scalars], logs: Path | None = None) -> str:
        """Write series of numbers as the run `name` of the endpoint's experiment, and return its page. Idempotent.

        logs: folder of TensorBoard's logs, whose traces of the profiler are shown, too.
        """
        experiment = f"{self._backend.tensorboard}/experiments/{self._backend.endpoint}"
        run = f"{experiment}/runs/{resource_id(name)}"
        request: dict[str, Any] = {"parent": self._backend.tensorboard}
        with suppress(AlreadyExists):
            self._client.create_tensorboard_experiment(request | {"tensorboard_experiment_id": self._backend.endpoint})
        request = {
            "parent": experiment,
            "tensorboard_run_id": resource_id(name),
            "tensorboard_run": {"display_name": name},
        }
        with suppress(AlreadyExists):
            self._client.create_tensorboard_run(request)
        for tag in scalars:
            self._create_series(run, tag, SCALAR, "scalars")
        for series in _requests(scalars):
            self._client.write_tensorboard_run_data(tensorboard_run=run, time_series_data=[series])
        for trace in sorted(logs.glob(f"{TRACES}/*")) if logs else ():
            self._show_trace(run, trace)
        return self._page(experiment)

    def _create_series(self, run: str, tag: str, kind: int, plugin: str) -> None:
        series = {"display_name": tag, "value_type": kind, "plugin_name": plugin}
        request = {"parent": run, "tensorboard_time_series_id": resource_id(tag), "tensorboard_time_series": series}
        with suppress(AlreadyExists):
            self._client.create_tensorboard_time_series(request)

    def _show_trace(self, run: str, trace: Path) -> None:
        """Copy a trace's files to TensorBoard's own bucket, and write a series with their names at the trace's time."""
        self._create_series(run, trace.name, FILES, "profile")
        files = sorted(trace.iterdir())
        bucket, folder = self._files_of(f"{run}/timeSeries/{resource_id(trace.name)}")
        for file in files:
            bucket.blob(f"{folder}/{file.name}").upload_from_filename(file)
        time = datetime.strptime(trace.name, TRACE_TIME).replace(tzinfo=UTC)
        point = {"wall_time": time, "blobs": {"values": [{"id": file.name} for file in files]}}
        data = {"tensorboard_time_series_id": resource_id(trace.name), "value_type": FILES, "values": [point]}
        self._client.write_tensorboard_run_data(tensorboard_run=run, time_series_data=[data])

    def _files_of(self, series: str) -> tuple[storage.Bucket, str]:
        """Bucket and folder where the page looks for the files of a series, as Google's own uploader has them."""
        board = self._client.get_tensorboard(name=self._backend.tensorboard)
        name, _, prefix = board.blob_storage_path_prefix.partition("/")
        ids = self._client.parse_tensorboard_time_series_path(series)
        folder = f"tensorboard-{ids['tensorboard']}/{ids['experiment']}/{ids['run']}/{ids['time_series']}"
        bucket = storage.Client(self._backend.project, credentials()).bucket(name)
        return bucket, f"{prefix}/{folder}" if prefix else folder

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
