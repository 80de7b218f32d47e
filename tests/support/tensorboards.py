"""A stand-in for Vertex AI TensorBoard, with the SDK's own messages over gRPC."""

import re

import grpc
from google.cloud import aiplatform_v1 as v1

from tests.support.stand_ins import Records, listen

ID = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
BLOBS = "tensorboard-files/folder"  # bucket and prefix of what is no number
MAX_BYTES = 128 * 1024  # of a request with data


class TensorBoards:
    """Handlers named after the API's methods: what does not exist is not written to, ids are unique and well-formed."""

    def __init__(self, name: str) -> None:
        self.resources = {name: None}  # experiments, runs and time series by name
        self.points: Records[list[tuple[int, float]]] = Records()  # by the name of the time series
        self.kinds: Records[tuple[str, int, str]] = Records()  # name to show, type of values and plugin, likewise
        self.files: Records[list[str]] = Records()  # ids of blobs, likewise
        self.faults: list[grpc.StatusCode] = []
        self.server, self.address = listen(self, [("google.cloud.aiplatform.v1.TensorboardService", v1)])

    def on_call(self, name: str, context) -> None: ...

    def GetTensorboard(self, request, context) -> v1.Tensorboard:
        if request.name not in self.resources:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} not found")
        return v1.Tensorboard(name=request.name, blob_storage_path_prefix=BLOBS)

    def CreateTensorboardExperiment(self, request, context) -> v1.TensorboardExperiment:
        return v1.TensorboardExperiment(name=self._add(request, "experiments", "tensorboard_experiment_id", context))

    def CreateTensorboardRun(self, request, context) -> v1.TensorboardRun:
        if not request.tensorboard_run.display_name:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "display_name is required")
        return v1.TensorboardRun(name=self._add(request, "runs", "tensorboard_run_id", context))

    def CreateTensorboardTimeSeries(self, request, context) -> v1.TensorboardTimeSeries:
        series = request.tensorboard_time_series
        if not (series.display_name and series.value_type):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "display_name and value_type are required")
        name = self._add(request, "timeSeries", "tensorboard_time_series_id", context)
        self.kinds[name] = (series.display_name, series.value_type, series.plugin_name)
        return v1.TensorboardTimeSeries(name=name, display_name=series.display_name, value_type=series.value_type)

    def WriteTensorboardRunData(self, request, context) -> v1.WriteTensorboardRunDataResponse:
        if len(type(request).serialize(request)) > MAX_BYTES:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request is too large")
        for series in request.time_series_data:
            name = f"{request.tensorboard_run}/timeSeries/{series.tensorboard_time_series_id}"
            if name not in self.resources:
                context.abort(grpc.StatusCode.NOT_FOUND, f"{name} not found")
            if series.value_type == v1.TensorboardTimeSeries.ValueType.BLOB_SEQUENCE:
                self.files[name] = [blob.id for point in series.values for blob in point.blobs.values]
                continue
            written = dict(self.points.get(name, [])) | {point.step: point.scalar.value for point in series.values}
            self.points[name] = sorted(written.items())
        return v1.WriteTensorboardRunDataResponse()

    def _add(self, request, kind: str, key: str, context) -> str:
        resource_id = getattr(request, key) or str(len(self.resources))  # as Vertex AI, which makes one of its own
        if not ID.fullmatch(resource_id):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{key} = {resource_id!r} is invalid")
        if request.parent not in self.resources:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.parent} not found")
        if (name := f"{request.parent}/{kind}/{resource_id}") in self.resources:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{name} exists")
        self.resources[name] = None
        return name
