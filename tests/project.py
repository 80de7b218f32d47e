"""A project of Google Cloud on this machine, for tests: what the emulators leave out, in the SDKs' own messages.

Cloud Run, Cloud Scheduler, IAM, the Resource Manager and Service Usage are a server over gRPC; Pub/Sub goes through it
to its emulator, which has no IAM. Cloud Storage's emulator forgets a bucket's labels and policy: a proxy keeps them.
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
from google.cloud import iam_admin_v1, resourcemanager_v3, run_v2, scheduler_v1, service_usage_v1
from google.iam.v1 import iam_policy_pb2
from google.iam.v1.policy_pb2 import Policy
from google.longrunning.operations_pb2 import Operation
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1.types import DeleteTopicRequest

from rl_core.backends.google.clients import ADMINISTRATION
from tests.proxy import Answer, Request, proxy
from tests.stand_ins import done, listen

NUMBER = "123456789"
SERVICES = {
    "google.cloud.run.v2.Services": run_v2,
    "google.cloud.scheduler.v1.CloudScheduler": scheduler_v1,
    "google.iam.admin.v1.IAM": iam_admin_v1,
    "google.cloud.resourcemanager.v3.Projects": resourcemanager_v3,
    "google.api.serviceusage.v1.ServiceUsage": service_usage_v1,
}
WITH_POLICIES = ("google.cloud.run.v2.Services", "google.iam.admin.v1.IAM", "google.cloud.resourcemanager.v3.Projects")
LOOKS = re.compile("Get|List|BatchGet|Pull")
KEPT = ("labels", "iamConfiguration")  # of a bucket


class Project:
    """Its methods are named as those of the APIs."""

    def __init__(self) -> None:
        self.services: dict[str, run_v2.Service] = {}
        self.jobs: dict[str, scheduler_v1.Job] = {}
        self.accounts: dict[str, iam_admin_v1.ServiceAccount] = {}
        self.policies: dict[str, Policy] = defaultdict(lambda: Policy(etag=b"0"))
        self.buckets: dict[str, dict[str, Any]] = defaultdict(dict)
        self.messages: set[str] = set()  # the topics and subscriptions
        self.enabled: set[str] = set()
        self.changes: list[str] = []  # the calls that were no looks
        self.refused: dict[str, tuple[grpc.StatusCode, str]] = {}  # what a method ends with
        self.faults: list[grpc.StatusCode] = []

    def called(self, name: str, context: grpc.ServicerContext) -> None:
        if name in self.refused:
            context.abort(*self.refused[name])
        if not LOOKS.match(name):
            self.changes.append(name)

    def GetService(self, request: run_v2.GetServiceRequest, context) -> run_v2.Service:
        return _found(self.services, request.name, context)

    def CreateService(self, request: run_v2.CreateServiceRequest, context) -> Operation:
        name = f"{request.parent}/services/{request.service_id}"
        assert not request.service.name
        self._known(request.service.template.service_account, context)
        service = _new(self.services, name, request.service, context)
        service.uri = f"https://{request.service_id}-{NUMBER}.run.app"
        return done(service)

    def UpdateService(self, request: run_v2.UpdateServiceRequest, context) -> Operation:
        service, before = request.service, _found(self.services, request.service.name, context)
        service.uri = before.uri
        self.services[service.name] = service
        return done(service)

    def DeleteService(self, request: run_v2.DeleteServiceRequest, context) -> Operation:
        return done(_gone(self.services, request.name, context))

    def GetJob(self, request: scheduler_v1.GetJobRequest, context) -> scheduler_v1.Job:
        return _found(self.jobs, request.name, context)

    def CreateJob(self, request: scheduler_v1.CreateJobRequest, context) -> scheduler_v1.Job:
        return _new(self.jobs, request.job.name, request.job, context)

    def UpdateJob(self, request: scheduler_v1.UpdateJobRequest, context) -> scheduler_v1.Job:
        job = _found(self.jobs, request.job.name, context)
        for path in request.update_mask.paths:
            setattr(job, path, getattr(request.job, path))
        return job

    def ResumeJob(self, request: scheduler_v1.ResumeJobRequest, context) -> scheduler_v1.Job:
        job = _found(self.jobs, request.name, context)
        job.state = scheduler_v1.Job.State.ENABLED
        return job

    def DeleteJob(self, request: scheduler_v1.DeleteJobRequest, context) -> Empty:
        _gone(self.jobs, request.name, context)
        return Empty()

    def GetServiceAccount(self, request: iam_admin_v1.GetServiceAccountRequest, context) -> iam_admin_v1.ServiceAccount:
        return _found(self.accounts, request.name, context)

    def CreateServiceAccount(
        self, request: iam_admin_v1.CreateServiceAccountRequest, context
    ) -> iam_admin_v1.ServiceAccount:
        email = f"{request.account_id}@{request.name.partition('/')[2]}.iam.gserviceaccount.com"
        assert re.fullmatch("[a-z][a-z0-9-]{4,28}[a-z0-9]", request.account_id)
        return _new(self.accounts, f"{request.name}/serviceAccounts/{email}", request.service_account, context)

    def DeleteServiceAccount(self, request: iam_admin_v1.DeleteServiceAccountRequest, context) -> Empty:
        _gone(self.accounts, request.name, context)
        return Empty()

    def GetProject(self, request: resourcemanager_v3.GetProjectRequest, context) -> resourcemanager_v3.Project:
        return resourcemanager_v3.Project(name=f"projects/{NUMBER}", project_id=request.name.partition("/")[2])

    def BatchGetServices(
        self, request: service_usage_v1.BatchGetServicesRequest, context
    ) -> service_usage_v1.BatchGetServicesResponse:
        states = [{"name": n, "state": 2 if n.rpartition("/")[2] in self.enabled else 1} for n in request.names]
        return service_usage_v1.BatchGetServicesResponse(services=states)

    def BatchEnableServices(self, request: service_usage_v1.BatchEnableServicesRequest, context) -> Operation:
        assert 1 <= len(request.service_ids) <= 20
        self.enabled |= set(request.service_ids)
        return done(service_usage_v1.BatchEnableServicesResponse())

    def GetIamPolicy(self, request: iam_policy_pb2.GetIamPolicyRequest, context) -> Policy:
        assert request.options.requested_policy_version == 3
        self._there(request.resource, context)
        return self.policies[request.resource]

    def SetIamPolicy(self, request: iam_policy_pb2.SetIamPolicyRequest, context) -> Policy:
        self._there(request.resource, context)
        if request.policy.etag != self.policies[request.resource].etag:
            context.abort(grpc.StatusCode.ABORTED, "somebody else has changed the policy")
        self._members({member for binding in request.policy.bindings for member in binding.members}, context)
        request.policy.etag = _etag(request.policy.SerializeToString())
        self.policies[request.resource] = request.policy
        return request.policy

    def _there(self, resource: str, context) -> None:
        if "/" in resource.partition("/")[2]:
            _found(self.services | self.accounts | dict.fromkeys(self.messages), resource, context)

    def _members(self, members: set[str], context) -> None:
        for member in members:
            email = member.removeprefix("serviceAccount:")
            if member != email and not email.startswith(f"service-{NUMBER}@gcp-sa-"):
                self._known(email, context)

    def _known(self, email: str, context) -> None:
        if not any(name.endswith(f"/{email}") for name in self.accounts):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Service account {email} does not exist.")

    def bucket(self, request: Request, forward: Callable[[Request], Answer]) -> Answer:
        """What Cloud Storage's emulator answers, with what that forgets."""
        if request.method != "GET":
            self.changes.append(f"{request.method} {request.path}")
        path = request.path.partition("?")[0].removeprefix("/storage/v1/b").strip("/").split("/")
        body = json.loads(request.body) if request.method in ("POST", "PATCH", "PUT") and len(path) < 3 else {}
        name = path[0] or body.get("name", "")
        if path[1:] == ["iam"]:
            return self._bucket_policy(f"buckets/{name}", request.method, body)
        answer = forward(request)
        if not request.path.startswith("/storage/v1/b") or len(path) > 1 or answer.status >= 300:
            return answer
        if request.method == "DELETE":
            self.buckets.pop(name, None)
            self.policies.pop(f"buckets/{name}", None)
            return answer
        self.buckets[name] |= {key: body[key] for key in KEPT if key in body}
        return answer._replace(body=json.dumps(json.loads(answer.body) | self.buckets[name]).encode())

    def _bucket_policy(self, name: str, method: str, given: dict[str, Any]) -> Answer:
        kept = self.buckets[name].setdefault("policy", {"etag": "MA==", "version": 1})
        if method == "PUT":
            assert given["etag"] == kept["etag"]
            kept.clear()
            kept.update(given, etag="MQ==" if given["etag"] == "MA==" else "MA==")
        return Answer(200, {"content-type": "application/json"}, json.dumps(kept).encode())

    def counted(self, request: Request, forward: Callable[[Request], Answer]) -> Answer:
        """What BigQuery's emulator answers."""
        if request.method != "GET":
            self.changes.append(f"{request.method} {request.path}")
        return forward(request)


class Forward(grpc.GenericRpcHandler):
    """Pub/Sub, passed on as it is to its emulator."""

    def __init__(self, project: Project, address: str) -> None:
        self._project, self._channel = project, grpc.insecure_channel(address)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if not details.method.startswith("/google.pubsub.v1."):
            return None

        def call(request: bytes, context: grpc.ServicerContext) -> bytes:
            method = details.method.rpartition("/")[2]
            self._project.called(method, context)
            try:
                answer = self._channel.unary_unary(details.method)(request)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            name = DeleteTopicRequest.deserialize(request).topic  # in all of them the first field
            if method.startswith("Create"):
                self._project.messages.add(name)
            elif method.startswith("Delete"):
                self._project.messages.discard(name)
                self._project.policies.pop(name, None)
            return answer

        return grpc.unary_unary_rpc_method_handler(call)


@contextlib.contextmanager
def project() -> Iterator[tuple[Project, dict[str, str]]]:
    """An empty one, with the variables that point Google's libraries to it and to the emulators behind it."""
    found = Project()
    with_policies = dict.fromkeys(("google.iam.v1.IAMPolicy", *WITH_POLICIES), iam_policy_pb2)
    handlers = [Forward(found, os.environ["PUBSUB_EMULATOR_HOST"])]
    server, address = listen(found, [*SERVICES.items(), *with_policies.items()], *handlers)
    try:
        with (
            proxy(os.environ["STORAGE_EMULATOR_HOST"], found.bucket) as storage,
            proxy(os.environ["BIGQUERY_EMULATOR_HOST"], found.counted) as bigquery,
        ):
            variables = {"STORAGE_EMULATOR_HOST": storage, "BIGQUERY_EMULATOR_HOST": bigquery}
            yield found, variables | {"PUBSUB_EMULATOR_HOST": address, ADMINISTRATION: address}
    finally:
        server.stop(None)


def _found(known: dict[str, Any], name: str, context: grpc.ServicerContext) -> Any:
    if name not in known:
        context.abort(grpc.StatusCode.NOT_FOUND, f"{name} not found")
    return known[name]


def _new(known: dict[str, Any], name: str, resource: Any, context: grpc.ServicerContext) -> Any:
    if name in known:
        context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{name} exists")
    resource.name = name
    known[name] = resource
    return resource


def _gone(known: dict[str, Any], name: str, context: grpc.ServicerContext) -> Any:
    _found(known, name, context)
    return known.pop(name)


def _etag(content: bytes) -> bytes:
    return sha256(content).digest()[:8]
