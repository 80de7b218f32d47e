"""The model registry of the Vertex AI stand-in: versions, their aliases, and what is deployed of them."""

import grpc
from google.cloud import aiplatform_v1 as v1
from google.longrunning.operations_pb2 import Operation
from google.protobuf.empty_pb2 import Empty

from tests.support.stand_ins import Records, finished


class ModelRegistry:
    """Handlers named after the API's methods."""

    def __init__(self) -> None:
        super().__init__()
        self.models: Records[list[v1.Model]] = Records()
        self.endpoints: Records[v1.Endpoint] = Records()  # what is deployed on them cannot be deleted

    def GetModel(self, request: v1.GetModelRequest, context) -> v1.Model:
        return self.find_model(request.name, context)

    def UploadModel(self, request: v1.UploadModelRequest, context) -> Operation:
        name, model = request.parent_model or f"{request.parent}/models/{request.model_id}", request.model
        if not request.parent_model and name in self.models:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{name} exists")
        versions = self.models.setdefault(name, [])
        model.name, model.version_id = name, str(int(versions[-1].version_id) + 1 if versions else 1)
        for other in versions:  # an alias is that of one version
            other.version_aliases = [a for a in other.version_aliases if a not in model.version_aliases]
        versions.append(model)
        return finished(v1.UploadModelResponse(model=name, model_version_id=model.version_id))

    def DeleteModelVersion(self, request: v1.DeleteModelVersionRequest, context) -> Operation:
        name, _, number = request.name.partition("@")
        model = self.find_model(request.name, context)
        if "default" in model.version_aliases:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{request.name} is the default version")
        self._refuse_deployed(request.name, context)
        self.models[name] = [version for version in self.models[name] if version.version_id != number]
        return finished(Empty())

    def DeleteModel(self, request: v1.DeleteModelRequest, context) -> Operation:
        self._refuse_deployed(request.name, context)
        del self.models[request.name]
        return finished(Empty())

    def _refuse_deployed(self, name: str, context) -> None:
        deployed = [model.model for endpoint in self.endpoints.values() for model in endpoint.deployed_models]
        if name in deployed or name in [model.partition("@")[0] for model in deployed]:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{name} is deployed")

    def find_model(self, name: str, context) -> v1.Model:
        name, _, version = name.partition("@")
        versions = self.models.get(name, [])
        matches = [m for m in versions if (version or "default") in (m.version_id, *m.version_aliases)]
        if not matches:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{name}@{version} not found")
        return matches[-1]
