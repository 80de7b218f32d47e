"""A stand-in for a Google Cloud project: the services without an emulator, with the SDKs' own messages.

It is as strict as a fresh project (see tests.support.fresh_project). One gRPC server implements Cloud Run, Cloud
Functions, Cloud Scheduler, IAM, the Resource Manager and Service Usage, and forwards Pub/Sub to its emulator, which has
no IAM. Cloud Storage's emulator drops a bucket's labels and policy: a proxy stores them.
"""

import contextlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import grpc
from google.cloud import functions_v2, iam_admin_v1, resourcemanager_v3, run_v2, scheduler_v1, service_usage_v1
from google.iam.v1 import iam_policy_pb2
from google.iam.v1.policy_pb2 import Policy
from google.longrunning.operations_pb2 import Operation
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1.types import DeleteTopicRequest

from banditloop.rl_core.backends.google.clients import ADMIN_API
from banditloop.rl_core.backends.google.provisioning.rest import EMULATOR
from tests.support.fresh_project import NUMBER
from tests.support.project_functions import SERVICE, CloudFunctions
from tests.support.proxy import Request, Response, proxy
from tests.support.stand_ins import Records, finished, listen

SERVICES = {
    "google.cloud.run.v2.Services": run_v2,
    SERVICE: functions_v2,
    "google.cloud.scheduler.v1.CloudScheduler": scheduler_v1,
    "google.iam.admin.v1.IAM": iam_admin_v1,
    "google.cloud.resourcemanager.v3.Projects": resourcemanager_v3,
    "google.api.serviceusage.v1.ServiceUsage": service_usage_v1,
}
SERVICES_WITH_POLICIES = (
    "google.cloud.run.v2.Services",
    "google.iam.admin.v1.IAM",
    "google.cloud.resourcemanager.v3.Projects",
)
READS = re.compile("Get|List|BatchGet|Pull")
STORED_BUCKET_FIELDS = ("labels", "iamConfiguration")


class Project(CloudFunctions):
    """Handlers named after the APIs' methods."""

    def __init__(self) -> None:
        super().__init__()
        self.services: Records[run_v2.Service] = Records()
        self.jobs: Records[scheduler_v1.Job] = Records()
        self.accounts: Records[iam_admin_v1.ServiceAccount] = Records()
        self.policies: dict[str, Policy] = defaultdict(lambda: Policy(etag=b"0"))
        self.buckets: dict[str, dict[str, Any]] = defaultdict(dict)
        self.topics_and_subscriptions: set[str] = set()
        self.errors: Records[tuple[grpc.StatusCode, str]] = Records()  # by method, its error
        self.faults: list[grpc.StatusCode] = []

    def on_call(self, name: str, context: grpc.ServicerContext) -> None:
        if name in self.errors:
            context.abort(*self.errors[name])
        self.check_api(name, context)
        if not READS.match(name):
            self.changes.append(name)

    def GetService(self, request: run_v2.GetServiceRequest, context) -> run_v2.Service:
        return _get(self.services, request.name, context)

    def CreateService(self, request: run_v2.CreateServiceRequest, context) -> Operation:
        name = f"{request.parent}/services/{request.service_id}"
        assert not request.service.name
        self.check_account(request.service.template.service_account, context)
        service = _create(self.services, name, request.service, context)
        service.uri = self.run_service(service)
        return finished(service)

    def run_service(self, service: run_v2.Service) -> str:
        """The address of a new service. A test that runs its container replaces this method."""
        return f"https://{service.name.rpartition('/')[2]}-{NUMBER}.run.app"

    def UpdateService(self, request: run_v2.UpdateServiceRequest, context) -> Operation:
        service, before = request.service, _get(self.services, request.service.name, context)
        service.uri = before.uri
        self.services[service.name] = service
        return finished(service)

    def DeleteService(self, request: run_v2.DeleteServiceRequest, context) -> Operation:
        return finished(_delete(self.services, request.name, context))

    def GetJob(self, request: scheduler_v1.GetJobRequest, context) -> scheduler_v1.Job:
        return _get(self.jobs, request.name, context)

    def CreateJob(self, request: scheduler_v1.CreateJobRequest, context) -> scheduler_v1.Job:
        return _create(self.jobs, request.job.name, request.job, context)

    def UpdateJob(self, request: scheduler_v1.UpdateJobRequest, context) -> scheduler_v1.Job:
        job = _get(self.jobs, request.job.name, context)
        for path in request.update_mask.paths:
            setattr(job, path, getattr(request.job, path))
        return job

    def ResumeJob(self, request: scheduler_v1.ResumeJobRequest, context) -> scheduler_v1.Job:
        job = _get(self.jobs, request.name, context)
        job.state = scheduler_v1.Job.State.ENABLED
        return job

    def DeleteJob(self, request: scheduler_v1.DeleteJobRequest, context) -> Empty:
        _delete(self.jobs, request.name, context)
        return Empty()

    def GetServiceAccount(self, request: iam_admin_v1.GetServiceAccountRequest, context) -> iam_admin_v1.ServiceAccount:
        return _get(self.accounts, request.name, context)

    def CreateServiceAccount(
        self, request: iam_admin_v1.CreateServiceAccountRequest, context
    ) -> iam_admin_v1.ServiceAccount:
        email = f"{request.account_id}@{request.name.partition('/')[2]}.iam.gserviceaccount.com"
        assert re.fullmatch("[a-z][a-z0-9-]{4,28}[a-z0-9]", request.account_id)
        self.make_known(email)
        return _create(self.accounts, f"{request.name}/serviceAccounts/{email}", request.service_account, context)

    def DeleteServiceAccount(self, request: iam_admin_v1.DeleteServiceAccountRequest, context) -> Empty:
        _delete(self.accounts, request.name, context)
        del self.known[request.name.rpartition("/")[2]]
        return Empty()

    def GetProject(self, request: resourcemanager_v3.GetProjectRequest, context) -> resourcemanager_v3.Project:
        return resourcemanager_v3.Project(name=f"projects/{NUMBER}", project_id=request.name.partition("/")[2])

    def BatchGetServices(
        self, request: service_usage_v1.BatchGetServicesRequest, context
    ) -> service_usage_v1.BatchGetServicesResponse:
        states = [{"name": n, "state": 2 if _api(n) in self.enabled else 1} for n in request.names]
        return service_usage_v1.BatchGetServicesResponse(services=states)

    def BatchEnableServices(self, request: service_usage_v1.BatchEnableServicesRequest, context) -> Operation:
        assert 1 <= len(request.service_ids) <= 20
        for service in request.service_ids:
            self.enable(_api(service))
        return finished(service_usage_v1.BatchEnableServicesResponse())

    def GetIamPolicy(self, request: iam_policy_pb2.GetIamPolicyRequest, context) -> Policy:
        assert request.options.requested_policy_version == 3
        self._check_resource(request.resource, context)
        return self.policies[request.resource]

    def SetIamPolicy(self, request: iam_policy_pb2.SetIamPolicyRequest, context) -> Policy:
        self._check_resource(request.resource, context)
        if request.policy.etag != self.policies[request.resource].etag:
            context.abort(grpc.StatusCode.ABORTED, "the policy was changed concurrently")
        for member in sorted({member for binding in request.policy.bindings for member in binding.members}):
            if member.startswith("serviceAccount:"):
                self.check_account(member.removeprefix("serviceAccount:"), context)
        request.policy.etag = _etag(request.policy.SerializeToString())
        self.policies[request.resource] = request.policy
        return request.policy

    def _check_resource(self, resource: str, context) -> None:
        if "/" in resource.partition("/")[2]:
            _get(self.services | self.accounts | dict.fromkeys(self.topics_and_subscriptions), resource, context)

    def handle_storage(self, request: Request, forward: Callable[[Request], Response]) -> Response:
        """The response of Cloud Storage's emulator, with the fields that it drops."""
        if request.method != "GET":
            self.changes.append(f"{request.method} {request.path}")
        path = request.path.partition("?")[0].removeprefix("/storage/v1/b").strip("/").split("/")
        body = json.loads(request.body) if request.method in ("POST", "PATCH", "PUT") and len(path) < 3 else {}
        name = path[0] or body.get("name", "")
        if path[1:] == ["iam"]:
            return self._bucket_policy(f"buckets/{name}", request.method, body)
        response = forward(request)
        if not request.path.startswith("/storage/v1/b") or len(path) > 1 or response.status >= 300:
            return response
        if request.method == "DELETE":
            self.buckets.pop(name, None)
            self.policies.pop(f"buckets/{name}", None)
            return response
        self.buckets[name] |= {key: body[key] for key in STORED_BUCKET_FIELDS if key in body}
        return response._replace(body=json.dumps(json.loads(response.body) | self.buckets[name]).encode())

    def _bucket_policy(self, name: str, method: str, update: dict[str, Any]) -> Response:
        policy = self.buckets[name].setdefault("policy", {"etag": "MA==", "version": 1})
        if method == "PUT":
            assert update["etag"] == policy["etag"]
            emails = {
                member.partition(":")[2] for binding in update.get("bindings", ()) for member in binding["members"]
            }
            if unknown := [email for email in emails if not self.is_known(email)]:
                error = {"code": 400, "message": f"Service account {unknown[0]} does not exist."}
                return Response(400, {"content-type": "application/json"}, json.dumps({"error": error}).encode())
            policy.clear()
            policy.update(update, etag="MQ==" if update["etag"] == "MA==" else "MA==")
        return Response(200, {"content-type": "application/json"}, json.dumps(policy).encode())

    def handle_bigquery(self, request: Request, forward: Callable[[Request], Response]) -> Response:
        """The response of BigQuery's emulator; changes are recorded."""
        if request.method != "GET":
            self.changes.append(f"{request.method} {request.path}")
        return forward(request)


class PubSubForwarder(grpc.GenericRpcHandler):
    """Forwards calls of Pub/Sub unchanged to its emulator, recording topics and subscriptions."""

    def __init__(self, project: Project, address: str) -> None:
        self._project, self._channel = project, grpc.insecure_channel(address)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if not details.method.startswith("/google.pubsub.v1."):
            return None

        def call(request: bytes, context: grpc.ServicerContext) -> bytes:
            method = details.method.rpartition("/")[2]
            self._project.on_call(method, context)
            try:
                response = self._channel.unary_unary(details.method)(request)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            if method.startswith(("Create", "Delete")):
                name = DeleteTopicRequest.deserialize(request).topic  # in all these requests the first field
                self._project.topics_and_subscriptions.discard(name)
                self._project.policies.pop(name, None)
                if method.startswith("Create"):
                    self._project.topics_and_subscriptions.add(name)
            return response

        return grpc.unary_unary_rpc_method_handler(call)


@contextlib.contextmanager
def project() -> Iterator[tuple[Project, dict[str, str]]]:
    """An empty project, and the environment variables that point Google's libraries to it and to its emulators."""
    stand_in = Project()
    iam_policies = dict.fromkeys(("google.iam.v1.IAMPolicy", *SERVICES_WITH_POLICIES), iam_policy_pb2)
    handlers = [PubSubForwarder(stand_in, os.environ["PUBSUB_EMULATOR_HOST"])]
    server, address = listen(stand_in, [*SERVICES.items(), *iam_policies.items()], *handlers)
    try:
        with (
            proxy(os.environ["STORAGE_EMULATOR_HOST"], stand_in.handle_storage) as storage,
            proxy(os.environ["BIGQUERY_EMULATOR_HOST"], stand_in.handle_bigquery) as bigquery,
            proxy("http://unused", stand_in.handle_rest) as rest,
        ):
            variables = {"STORAGE_EMULATOR_HOST": storage, "BIGQUERY_EMULATOR_HOST": bigquery}
            yield stand_in, variables | {"PUBSUB_EMULATOR_HOST": address, ADMIN_API: address, EMULATOR: rest}
    finally:
        server.stop(None)


def _api(service: str) -> str:
    return service.rpartition("/")[2].removesuffix(".googleapis.com")


def _get(resources: dict[str, Any], name: str, context: grpc.ServicerContext) -> Any:
    if name not in resources:
        context.abort(grpc.StatusCode.NOT_FOUND, f"{name} not found")
    return resources[name]


def _create(resources: dict[str, Any], name: str, resource: Any, context: grpc.ServicerContext) -> Any:
    if name in resources:
        context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{name} exists")
    resource.name = name
    resources[name] = resource
    return resource


def _delete(resources: dict[str, Any], name: str, context: grpc.ServicerContext) -> Any:
    _get(resources, name, context)
    return resources.pop(name)


def _etag(content: bytes) -> bytes:
    return sha256(content).digest()[:8]
