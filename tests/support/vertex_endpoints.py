"""Endpoints of the Vertex AI stand-in.

Each replica of a deployed model is a container, or a local process of the predictor with the container's environment.
"""

import json
import subprocess
from typing import NamedTuple

import grpc
import requests
from google.api.httpbody_pb2 import HttpBody
from google.cloud import aiplatform_v1 as v1
from google.longrunning.operations_pb2 import Operation
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from google.rpc.code_pb2 import FAILED_PRECONDITION

from tests.support.custom_jobs import matches_label
from tests.support.processes import free_port, listening, start_as_process, wait_until
from tests.support.stand_ins import Records, failed, finished
from tests.support.vertex_models import ModelRegistry
from tests.support.vertex_operations import Operations


class Replica(NamedTuple):
    port: int
    process: subprocess.Popen[bytes]


class Endpoints(ModelRegistry, Operations):
    """Handlers named after the API's methods."""

    def __init__(self) -> None:
        super().__init__()
        self.serving: Records[list[Replica]] = Records()  # by id of the deployed model
        self.start = start_as_process  # starts a container from its command and environment variables
        self.never_ends, self.deployments = False, 0

    def ListEndpoints(self, request: v1.ListEndpointsRequest, context) -> v1.ListEndpointsResponse:
        return v1.ListEndpointsResponse(endpoints=[e for e in self.endpoints.values() if matches_label(e, request)])

    def GetEndpoint(self, request: v1.GetEndpointRequest, context) -> v1.Endpoint:
        return self.endpoints[request.name]

    def CreateEndpoint(self, request: v1.CreateEndpointRequest, context) -> Operation:
        endpoint = request.endpoint
        endpoint.name = f"{request.parent}/endpoints/{len(self.endpoints) + 1}"
        self.endpoints[endpoint.name] = endpoint
        return finished(endpoint)

    def DeleteEndpoint(self, request: v1.DeleteEndpointRequest, context) -> Operation:
        if self.endpoints[request.name].deployed_models:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{request.name} has deployed models")
        del self.endpoints[request.name]
        return finished(Empty())

    def UpdateEndpoint(self, request: v1.UpdateEndpointRequest, context) -> v1.Endpoint:
        assert request.update_mask.paths == ["traffic_split"]
        endpoint = self.endpoints[request.endpoint.name]
        self._set_traffic(endpoint, dict(request.endpoint.traffic_split), context)
        return endpoint

    def DeployModel(self, request: v1.DeployModelRequest, context) -> Operation:
        endpoint, deployed = self.endpoints[request.endpoint], request.deployed_model
        model = self.find_model(deployed.model, context)
        if "@" not in deployed.model:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{deployed.model}: would be the default version")
        if 0 in request.traffic_split.values():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"traffic {dict(request.traffic_split)}")
        operation = self.begin(endpoint.name, context)
        self.deployments += 1
        if self.never_ends:
            return operation
        deployed.id = self.new_id()
        try:
            is_started = self._start(deployed, model)
        finally:
            del self.operations[operation.name]
        if not is_started:
            return failed(
                FAILED_PRECONDITION, "Model server exited unexpectedly. Model server logs can be found at ..."
            )
        endpoint.deployed_models.append(deployed)
        if request.traffic_split:
            split = {deployed.id if key == "0" else key: percent for key, percent in request.traffic_split.items()}
            self._set_traffic(endpoint, split, context)
        return finished(v1.DeployModelResponse(deployed_model=deployed))

    def UndeployModel(self, request: v1.UndeployModelRequest, context) -> Operation:
        endpoint, deployed_id = self.endpoints[request.endpoint], request.deployed_model_id
        if deployed_id not in {model.id for model in endpoint.deployed_models}:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{deployed_id} is not deployed")
        if request.traffic_split:
            self._set_traffic(endpoint, dict(request.traffic_split), context)
        remaining = [model for model in endpoint.deployed_models if model.id != deployed_id]
        if remaining and endpoint.traffic_split.get(deployed_id):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{deployed_id} has traffic")
        endpoint.deployed_models = remaining
        if not remaining:
            endpoint.traffic_split = {}
        for replica in self.serving.pop(deployed_id, ()):  # none: a concurrent call has taken them
            replica.process.terminate()
        return finished(v1.UndeployModelResponse())

    def RawPredict(self, request: v1.RawPredictRequest, context) -> HttpBody:
        _, content = self._ask(request.endpoint, request.http_body.data, context)
        return HttpBody(content_type="application/json", data=content)

    def Predict(self, request: v1.PredictRequest, context) -> v1.PredictResponse:
        """As RawPredict, but every number is a double on the way there and back."""
        instances = [MessageToDict(instance) for instance in v1.PredictRequest.pb(request).instances]
        deployed, content = self._ask(request.endpoint, json.dumps({"instances": instances}), context)
        answer = {"predictions": json.loads(content)["predictions"], "deployedModelId": deployed}
        return v1.PredictResponse.from_json(json.dumps(answer))

    def _ask(self, endpoint: str, body: bytes | str, context) -> tuple[str, bytes]:
        """The id of the deployed model that answers a request, and its answer."""
        [deployed] = self.draws.choices(*zip(*self.endpoints[endpoint].traffic_split.items(), strict=True))
        replicas = self.serving[deployed]
        replicas.append(replicas.pop(0))  # in turn
        answer = requests.post(f"http://127.0.0.1:{replicas[-1].port}/predict", data=body, timeout=60)
        if answer.status_code != 200:
            invalid, unavailable = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAVAILABLE
            context.abort(invalid if answer.status_code == 400 else unavailable, answer.text)
        return deployed, answer.content

    def _set_traffic(self, endpoint: v1.Endpoint, split: dict[str, int], context) -> None:
        unknown = split.keys() - {model.id for model in endpoint.deployed_models}
        if unknown or sum(split.values()) != 100 or "0" in split:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"traffic {split}")
        endpoint.traffic_split = split

    def _start(self, deployed: v1.DeployedModel, model: v1.Model) -> bool:
        """Start a model's containers; whether all answer healthily before they end."""
        count = deployed.dedicated_resources.min_replica_count
        replicas = self.serving[deployed.id] = [self._start_replica_of(model) for _ in range(count)]
        for port, process in replicas:
            wait_until(lambda port=port, process=process: process.poll() is not None or _is_healthy(port))
        return all(replica.process.poll() is None for replica in replicas)

    def _start_replica_of(self, model: v1.Model) -> Replica:
        port, container = free_port(), model.container_spec
        variables = {
            "AIP_HTTP_PORT": str(port),
            "AIP_STORAGE_URI": model.artifact_uri,
            "AIP_PREDICT_ROUTE": container.predict_route,
            "AIP_HEALTH_ROUTE": container.health_route,
        }
        variables |= {variable.name: variable.value for variable in container.env}
        return Replica(port, self.start(list(container.command), variables))

    def undeploy_all(self) -> None:
        """Stop the deployed models."""
        replicas = [replica for served in list(self.serving.values()) for replica in served]  # more may be deployed
        for replica in replicas:
            replica.process.terminate()
        for replica in replicas:
            replica.process.wait(120)
        self.serving.clear()


def _is_healthy(port: int) -> bool:
    try:
        return listening(port) and requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
    except requests.RequestException:  # it listens, and does not answer yet
        return False
