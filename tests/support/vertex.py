"""A stand-in for Vertex AI: the calls of the Google backend, with the SDK's own messages over gRPC.

It is as strict as the real service where the tests depend on it: ids are unique, traffic adds up to 100, models can be
addressed by alias, only paused schedules can be resumed. Each service is a class in a file of its own, whose
constructor calls `super().__init__()`; to add one, name it in `Vertex` and in SERVICES.
"""

from pathlib import Path

import grpc
from google.cloud import aiplatform_v1 as v1
from google.longrunning import operations_pb2

from tests.support.custom_jobs import CustomJobs
from tests.support.stand_ins import listen
from tests.support.tuning_jobs import TuningJobs
from tests.support.vertex_endpoints import Endpoints
from tests.support.vertex_metadata import Metadata
from tests.support.vertex_schedules import Schedules

SERVICES = ("Pipeline", "Schedule", "Endpoint", "Model", "Prediction", "Job", "Metadata")


class Vertex(Schedules, Endpoints, TuningJobs, CustomJobs, Metadata):
    """Handlers named after the API's methods."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.faults: list[grpc.StatusCode] = []  # statuses of the next calls, raised by turns before and after they act
        self.calls = 0

    def on_call(self, name: str, context) -> None:
        self.calls += 1

    def close(self) -> None:
        """Stop the deployed models and the custom jobs."""
        self.end_jobs()
        self.undeploy_all()


def serve(folder: Path) -> Vertex:
    """Start a Vertex AI stand-in, listening at its `address`."""
    vertex = Vertex(folder)
    named = [(f"google.cloud.aiplatform.v1.{name}Service", v1) for name in SERVICES]
    vertex.server, vertex.address = listen(vertex, [*named, ("google.longrunning.Operations", operations_pb2)])
    return vertex
