"""Cloud Functions (2nd generation) in the stand-in for a project: it accepts and refuses what the real service does."""

import ast
import io
import re
from typing import Any
from zipfile import ZipFile

import grpc
from google.cloud import functions_v2, run_v2, storage
from google.iam.v1.policy_pb2 import Policy
from google.longrunning.operations_pb2 import Operation
from google.protobuf.empty_pb2 import Empty

from banditloop.rl_core.backends.google.clients import credentials
from tests.support.rest_apis import RestApis
from tests.support.stand_ins import Records, failed, finished

SERVICE = "google.cloud.functions.v2.FunctionService"
FUNCTION_ID = re.compile("[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
RUNTIMES = ("python310", "python311", "python312", "python313", "python314")
BUILD_ROLES = ("roles/artifactregistry.writer", "roles/logging.logWriter", "roles/storage.objectViewer")
APIS = ("artifactregistry", "cloudbuild", "cloudfunctions", "run")
MAX_SECONDS = 3600  # of a function without an event trigger
State = functions_v2.Function.State
INVALID, ALREADY_EXISTS = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS


class CloudFunctions(RestApis):
    """Handlers of a `Project`, whose services and policies they use."""

    services: dict[str, run_v2.Service]
    policies: dict[str, Policy]

    def __init__(self) -> None:
        super().__init__()
        self.functions: Records[functions_v2.Function] = Records()
        self.builds: list[str] = []  # names of the functions, one for each build
        self.archives: Records[bytes] = Records()  # by function, what it was last built from

    def GetFunction(self, request: functions_v2.GetFunctionRequest, context) -> functions_v2.Function:
        self._check_apis(context)
        return self._function(request.name, context)

    def CreateFunction(self, request: functions_v2.CreateFunctionRequest, context) -> Operation:
        self._check_apis(context)
        function, identifier = request.function, request.function_id
        if not FUNCTION_ID.fullmatch(identifier):
            context.abort(INVALID, f"Invalid function ID {identifier}")
        function.name = f"{request.parent}/functions/{identifier}"
        if function.name in self.functions:
            context.abort(ALREADY_EXISTS, f"Resource '{function.name}' already exists")
        if _service_name(function.name) in self.services:
            message = f"Could not create Cloud Run service {identifier}. A Cloud Run service with this name already "
            context.abort(ALREADY_EXISTS, f"{message}exists. Please redeploy the function with a different name.")
        self._check(function, context)
        self.functions[function.name] = function
        return self._deploy(function, built=True)

    def UpdateFunction(self, request: functions_v2.UpdateFunctionRequest, context) -> Operation:
        current = self._function(request.function.name, context)
        paths = list(request.update_mask.paths)
        updated = functions_v2.Function(current)
        for path in paths:
            setattr(updated, path, getattr(request.function, path))
        self._check(updated, context)
        updated.service_config.uri = current.service_config.uri
        self.functions[updated.name] = updated
        return self._deploy(updated, built="build_config" in paths)

    def DeleteFunction(self, request: functions_v2.DeleteFunctionRequest, context) -> Operation:
        self._function(request.name, context)
        self.services.pop(_service_name(request.name), None)
        del self.functions[request.name]
        return finished(Empty())

    def _function(self, name: str, context) -> functions_v2.Function:
        if name not in self.functions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Resource '{name}' was not found")
        return self.functions[name]

    def _check_apis(self, context) -> None:
        if refusals := [refusal for api in APIS if (refusal := self.refusal(api))]:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, refusals[0])

    def _check(self, function: functions_v2.Function, context) -> None:
        build, service = function.build_config, function.service_config
        if function.environment != functions_v2.Environment.GEN_2:
            context.abort(INVALID, "the stand-in has functions of the 2nd generation only")
        if build.runtime not in RUNTIMES:
            context.abort(INVALID, f'Runtime "{build.runtime}" is not supported on GCF Gen2')
        if not build.entry_point or not service.service_account_email:
            context.abort(INVALID, "entry point and service account must be given")
        if service.timeout_seconds > MAX_SECONDS or not re.fullmatch(r"\d+(Mi|Gi|M|G)", service.available_memory):
            context.abort(INVALID, "Invalid timeout or memory")
        if function.event_trigger.event_type:
            context.abort(INVALID, "the stand-in has no Eventarc")
        self.check_account(service.service_account_email, context)
        self.check_account(build.service_account.rpartition("/")[2], context)
        if _archive(build.source.storage_source) is None and "gcf-v2-sources" not in build.source.storage_source.bucket:
            context.abort(INVALID, "Could not find the source object")

    def _deploy(self, function: functions_v2.Function, built: bool) -> Operation:
        """Build and start a function: the operation fails as that does, and leaves the function failed."""
        function.state = State.FAILED
        if built and (error := self._build(function)):
            return failed(3, f"Build failed with status: FAILURE and message: {error}")
        function.state = State.ACTIVE
        name = _service_name(function.name)
        function.service_config.service = name
        function.service_config.environment_variables["LOG_EXECUTION_ID"] = "true"
        function.service_config.uri = self.run_function(function)
        config = function.service_config
        template = {
            "service_account": config.service_account_email,
            "max_instance_request_concurrency": config.max_instance_request_concurrency,
            "scaling": {"max_instance_count": config.max_instance_count},
        }
        self.services[name] = run_v2.Service(name=name, uri=config.uri, template=template)
        return finished(function)

    def run_function(self, function: functions_v2.Function) -> str:
        """The address of a built function. A test that runs its archive replaces this method."""
        return f"https://{function.name.rpartition('/')[2]}-abcdefghij-uc.a.run.app"

    def _build(self, function: functions_v2.Function) -> str:
        """What is wrong with the build of a function; empty if it succeeds. Its source becomes Google's copy."""
        build = function.build_config
        member = f"serviceAccount:{build.service_account.rpartition('/')[2]}"
        project = "/".join(function.name.split("/")[:2])
        granted = {binding.role for binding in self.policies[project].bindings if member in binding.members}
        if missing := [role for role in BUILD_ROLES if role not in granted]:
            return f"the service account {member} lacks {', '.join(missing)}"
        content = _archive(build.source.storage_source)
        assert content is not None
        files = ZipFile(io.BytesIO(content))
        if not {"main.py", "requirements.txt"} <= set(files.namelist()):
            return "missing main.py and GOOGLE_FUNCTION_SOURCE not specified"
        if build.entry_point not in _names(ast.parse(files.read("main.py"))):
            return f"File main.py is expected to contain a function named '{build.entry_point}'"
        self.builds.append(function.name)
        self.archives[function.name] = content
        copy = {"bucket": "gcf-v2-sources-123456789-us-central1", "object_": "function-source.zip"}
        build.source = {"storage_source": copy}
        build.docker_repository = f"{function.name.partition('/functions/')[0]}/repositories/gcf-artifacts"
        return ""


def _archive(source: Any) -> bytes | None:
    blob = storage.Client("project", credentials()).bucket(source.bucket or "none").blob(source.object_ or "none")
    return blob.download_as_bytes() if blob.exists() else None


def _names(module: ast.Module) -> set[str]:
    """The names that a module defines or imports."""
    imported = {alias.asname or alias.name for n in module.body if isinstance(n, ast.ImportFrom) for alias in n.names}
    return imported | {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def _service_name(function: str) -> str:
    return function.replace("/functions/", "/services/")
