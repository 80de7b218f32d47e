"""A stand-in for Vertex AI Metadata: contexts, of which the experiments of the console and the SDK are made."""

import re

import grpc
from google.cloud import aiplatform_v1 as v1

from tests.support.stand_ins import Records, finished

ID = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
SCHEMAS = {"system.Experiment", "system.ExperimentRun"}


class Metadata:
    """Contexts by their names; what is not there has no children, ids are unique and well-formed."""

    def __init__(self) -> None:
        super().__init__()
        self.stores: set[str] = set()
        self.contexts: Records[v1.Context] = Records()

    def CreateMetadataStore(self, request, context):
        name = f"{request.parent}/metadataStores/{request.metadata_store_id}"
        if name in self.stores:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{name} exists")
        self.stores.add(name)
        return finished(v1.MetadataStore(name=name))

    def GetMetadataStore(self, request, context) -> v1.MetadataStore:
        if request.name not in self.stores:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} not found")
        return v1.MetadataStore(name=request.name)

    def CreateContext(self, request, context) -> v1.Context:
        name = f"{request.parent}/contexts/{request.context_id}"
        if request.parent not in self.stores:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.parent} not found")
        if not ID.fullmatch(request.context_id) or request.context.schema_title not in SCHEMAS:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{request.context_id} is invalid")
        if name in self.contexts:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{name} exists")
        request.context.name = name
        self.contexts[name] = request.context
        return request.context

    def UpdateContext(self, request, context) -> v1.Context:
        found = self.GetContext(request.context, context)
        if list(request.update_mask.paths) != ["metadata"]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"update_mask = {request.update_mask.paths}")
        found.metadata = request.context.metadata
        return found

    def AddContextChildren(self, request, context) -> v1.AddContextChildrenResponse:
        for name in (request.context, *request.child_contexts):
            self.GetContext(v1.GetContextRequest(name=name), context)
        for name in request.child_contexts:
            child = self.contexts[name]
            child.parent_contexts = sorted({*child.parent_contexts, request.context})
        return v1.AddContextChildrenResponse()

    def GetContext(self, request, context) -> v1.Context:
        if request.name not in self.contexts:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} not found")
        return self.contexts[request.name]

    def ListContexts(self, request, context) -> v1.ListContextsResponse:
        """Those of the schema titles and with one of the parents that the filter names."""
        titles = set(re.findall(r'schema_title="([^"]+)"', request.filter))
        parents = set(re.findall(r'"(projects/[^"]+)"', request.filter))
        found = [c for c in self.contexts.values() if c.schema_title in titles and parents & {*c.parent_contexts}]
        return v1.ListContextsResponse(contexts=found)

    def ListExecutions(self, request, context) -> v1.ListExecutionsResponse:
        return v1.ListExecutionsResponse()

    def GetArtifact(self, request, context) -> v1.Artifact:
        """None was made: it is where the SDK looks for a run's TensorBoard."""
        context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} not found")
