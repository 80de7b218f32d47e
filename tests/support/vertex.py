"""A stand-in for Vertex AI: the calls of the Google backend, with the SDK's own messages over gRPC.

It is as strict as the real service where the tests depend on it: ids are unique, traffic adds up to 100, models can be
addressed by alias, only paused schedules can be resumed. Pipelines run with kfp.local; a deployed model is a container,
or a local process of the predictor with the container's environment.
"""

import json
import random
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import requests
import yaml
from cronsim import CronSim, CronSimError
from google.api.httpbody_pb2 import HttpBody
from google.cloud import aiplatform_v1 as v1
from google.longrunning import operations_pb2
from google.longrunning.operations_pb2 import Operation
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from google.rpc.code_pb2 import FAILED_PRECONDITION

from banditloop.rl_core.backends.local.runner import LocalRunner
from banditloop.rl_core.pipeline_specs.template import declared_parameters, read_template
from banditloop.rl_core.ports import RunTask
from tests.support.custom_jobs import CustomJobs, matches_label
from tests.support.processes import free_port, listening, start_as_process, wait_until
from tests.support.stand_ins import failed, finished, listen
from tests.support.tuning_jobs import TuningJobs

STATES = {"running": "RUNNING", "succeeded": "SUCCEEDED", "failed": "FAILED"}


class Vertex(TuningJobs, CustomJobs):
    """Handlers named after the API's methods."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.jobs: dict[str, v1.PipelineJob] = {}
        self.schedules: dict[str, v1.Schedule] = {}
        self.endpoints: dict[str, v1.Endpoint] = {}
        self.models: dict[str, list[v1.Model]] = {}
        self.ports: dict[str, int] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._runner, self._folder = LocalRunner(folder / "runs"), folder
        self._draws = random.Random(0)
        self.start = start_as_process  # starts a container from its command and environment variables
        self.faults: list[grpc.StatusCode] = []  # statuses of the next calls, raised by turns before and after they act
        self.calls = 0
        self.operations: dict[str, Operation] = {}  # those that are running
        self._lock = threading.Lock()
        self.never_ends, self.deployments = False, 0
        self.cancelled: dict[str, int] = {}  # by job, the number of reads until it has ended

    def on_call(self, name: str, context) -> None:
        self.calls += 1

    def CreatePipelineJob(self, request: v1.CreatePipelineJobRequest, context) -> v1.PipelineJob:
        if f"{request.parent}/pipelineJobs/{request.pipeline_job_id}" in self.jobs:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{request.pipeline_job_id} exists")
        return self._run(request.parent, request.pipeline_job, request.pipeline_job_id)

    def _run(self, parent: str, job: v1.PipelineJob, run: str) -> v1.PipelineJob:
        job.name, job.create_time = f"{parent}/pipelineJobs/{run}", datetime.now(UTC)
        self.jobs[job.name] = job
        message = v1.PipelineJob.pb(job)
        template = self._folder / f"{run}.yaml"
        template.write_text(yaml.safe_dump(MessageToDict(message.pipeline_spec)))
        declared = declared_parameters(read_template(template))
        parameters = {
            key: _parameter_value(value, declared[key]["parameterType"])
            for key, value in message.runtime_config.parameter_values.items()
        }
        self._runner.submit(template, parameters, run)
        return job

    def GetPipelineJob(self, request: v1.GetPipelineJobRequest, context) -> v1.PipelineJob:
        if request.name not in self.jobs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} not found")
        return self._refreshed(self.jobs[request.name])

    def CancelPipelineJob(self, request: v1.CancelPipelineJobRequest, context) -> Empty:
        """Cancellation is asynchronous, as on Vertex AI: the job ends after it was read once more."""
        self.cancelled.setdefault(request.name, 1)
        if self._runner.state(run := request.name.rpartition("/")[2]) == "running":
            self._runner.cancel(run)
        return Empty()

    def ListPipelineJobs(self, request: v1.ListPipelineJobsRequest, context) -> v1.ListPipelineJobsResponse:
        """Newest first, with the fields of the mask only; never with the tasks, as on Vertex AI."""
        assert request.order_by == "create_time desc"
        jobs = [self._refreshed(job) for job in reversed(self.jobs.values()) if matches_label(job, request)]
        first = int(request.page_token or 0)
        following = first + (request.page_size or len(jobs))
        listed = [v1.PipelineJob() for _ in jobs[first:following]]
        for job, masked in zip(jobs[first:], listed, strict=False):
            v1.ListPipelineJobsRequest.pb(request).read_mask.MergeMessage(v1.PipelineJob.pb(job), masked._pb)
            masked.job_detail = None
        token = str(following) if following < len(jobs) else ""
        return v1.ListPipelineJobsResponse(pipeline_jobs=listed, next_page_token=token)

    def _refreshed(self, job: v1.PipelineJob) -> v1.PipelineJob:
        run = job.name.rpartition("/")[2]
        state = self._runner.state(run)
        job.state = v1.PipelineState[f"PIPELINE_STATE_{STATES[state]}"]
        if job.name in self.cancelled:
            self.cancelled[job.name] -= 1
            ending = self.cancelled[job.name] >= 0
            job.state = v1.PipelineState[f"PIPELINE_STATE_{'CANCELLING' if ending else 'CANCELLED'}"]
        if state != "running" and not job.end_time:
            job.end_time = datetime.now(UTC)
        if state == "failed":
            job.error = {"code": 9, "message": "The DAG failed because some tasks failed."}
        job.job_detail = {"task_details": [self._task_detail(job, run, task) for task in self._runner.tasks(run)]}
        return job

    def _task_detail(self, job: v1.PipelineJob, run: str, task: RunTask) -> dict[str, Any]:
        detail = {"task_name": task.name, "state": task.state.upper(), "create_time": task.started}
        detail |= {"end_time": task.ended} if task.ended else {}
        detail["outputs"] = {
            artifact.name: {"artifacts": [{"uri": artifact.uri, "metadata": artifact.metadata}]}
            for artifact in self._runner.artifacts(run)
            if artifact.task == task.name
        }
        if task.state == "failed":
            detail["error"] = {"code": 3, "message": self._runner.explain(run).partition(": ")[2]}
            main_job = job.name.replace(f"pipelineJobs/{run}", "customJobs/77")
            detail["executor_detail"] = {"container_detail": {"main_job": main_job}}
        return detail

    def CreateSchedule(self, request: v1.CreateScheduleRequest, context) -> v1.Schedule:
        schedule = request.schedule
        if not schedule.display_name or schedule.max_concurrent_run_count < 1:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "display_name and max_concurrent_run_count are required")
        schedule.name = f"{request.parent}/schedules/{self._draws.randrange(10**9, 10**10)}"
        schedule.state = v1.Schedule.State.ACTIVE
        self.schedules[schedule.name] = schedule
        return self._with_next_run(schedule, context)

    def UpdateSchedule(self, request: v1.UpdateScheduleRequest, context) -> v1.Schedule:
        schedule = self._schedule(request.schedule.name, context)
        for field in request.update_mask.paths:
            setattr(schedule, field, getattr(request.schedule, field))
        return self._with_next_run(schedule, context)

    def ListSchedules(self, request: v1.ListSchedulesRequest, context) -> v1.ListSchedulesResponse:
        field, _, name = request.filter.partition("=")
        assert field == "display_name" or request.filter == "create_pipeline_job_request:*"
        schedules = [s for s in self.schedules.values() if not name or s.display_name == json.loads(name)]
        return v1.ListSchedulesResponse(schedules=schedules)

    def DeleteSchedule(self, request: v1.DeleteScheduleRequest, context) -> Operation:
        del self.schedules[self._schedule(request.name, context).name]
        return finished(Empty())

    def PauseSchedule(self, request: v1.PauseScheduleRequest, context) -> Empty:
        return self._set_state(self._schedule(request.name, context), v1.Schedule.State.PAUSED, context)

    def ResumeSchedule(self, request: v1.ResumeScheduleRequest, context) -> Empty:
        return self._set_state(self._schedule(request.name, context), v1.Schedule.State.ACTIVE, context)

    def fire(self, endpoint: str, name: str) -> None:
        """Start the run that an active schedule would start at its next time."""
        [schedule] = [s for s in self.schedules.values() if s.display_name == f"{endpoint}-{name}"]
        if schedule.state == v1.Schedule.State.ACTIVE:
            request, number = schedule.create_pipeline_job_request, schedule.name.rpartition("/")[2]
            self._run(request.parent, v1.PipelineJob(request.pipeline_job), f"schedule-{number}-{len(self.jobs)}")

    def _schedule(self, name: str, context) -> v1.Schedule:
        if name not in self.schedules:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{name} not found")
        return self.schedules[name]

    def _with_next_run(self, schedule: v1.Schedule, context) -> v1.Schedule:
        zone, _, cron = schedule.cron.partition(" ")
        assert zone == "TZ=UTC"
        try:
            schedule.next_run_time = next(CronSim(cron, datetime.now(UTC)))
        except CronSimError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{cron}: {error}")
        return schedule

    def _set_state(self, schedule: v1.Schedule, state: v1.Schedule.State, context) -> Empty:
        if schedule.state == state:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{schedule.name} is {state.name}")
        schedule.state = state
        return Empty()

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
        model = self._model(deployed.model, context)
        if "@" not in deployed.model:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{deployed.model}: would be the default version")
        if 0 in request.traffic_split.values():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"traffic {dict(request.traffic_split)}")
        operation = self.begin(endpoint.name, context)
        self.deployments += 1
        if self.never_ends:
            return operation
        deployed.id = str(self._draws.randrange(10**9, 10**10))
        is_started = self._start(deployed, model)
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

    def begin(self, endpoint: str, context=None) -> Operation:
        """Begin an operation on an endpoint; refused while another one is running there."""
        operation = Operation(name=f"{endpoint}/operations/{self._draws.randrange(10**9, 10**10)}")
        with self._lock:
            if any(name.startswith(f"{endpoint}/") for name in self.operations):
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{endpoint}: another operation is running")
            self.operations[operation.name] = operation
        return operation

    def GetOperation(self, request: operations_pb2.GetOperationRequest, context) -> Operation:
        return self.operations[request.name]

    def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context
    ) -> operations_pb2.ListOperationsResponse:
        operations = [operation for name, operation in self.operations.items() if name.startswith(f"{request.name}/")]
        return operations_pb2.ListOperationsResponse(operations=operations)

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
        if process := self.processes.pop(deployed_id, None):  # None: a concurrent call has taken it
            process.terminate()
        return finished(v1.UndeployModelResponse())

    def GetModel(self, request: v1.GetModelRequest, context) -> v1.Model:
        return self._model(request.name, context)

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
        model = self._model(request.name, context)
        if "default" in model.version_aliases:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{request.name} is the default version")
        self._refuse_deployed(request.name, context)
        self.models[name] = [version for version in self.models[name] if version.version_id != number]
        return finished(Empty())

    def _refuse_deployed(self, name: str, context) -> None:
        deployed = [model.model for endpoint in self.endpoints.values() for model in endpoint.deployed_models]
        if name in deployed or name in [model.partition("@")[0] for model in deployed]:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{name} is deployed")

    def DeleteModel(self, request: v1.DeleteModelRequest, context) -> Operation:
        self._refuse_deployed(request.name, context)
        del self.models[request.name]
        return finished(Empty())

    def RawPredict(self, request: v1.RawPredictRequest, context) -> HttpBody:
        endpoint = self.endpoints[request.endpoint]
        [deployed] = self._draws.choices(*zip(*endpoint.traffic_split.items(), strict=True))
        answer = requests.post(
            f"http://127.0.0.1:{self.ports[deployed]}/predict", data=request.http_body.data, timeout=60
        )
        if answer.status_code == 400:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, answer.text)
        return HttpBody(content_type="application/json", data=answer.content)

    def _model(self, name: str, context) -> v1.Model:
        name, _, version = name.partition("@")
        versions = self.models.get(name, [])
        matches = [m for m in versions if (version or "default") in (m.version_id, *m.version_aliases)]
        if not matches:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{name}@{version} not found")
        return matches[-1]

    def _set_traffic(self, endpoint: v1.Endpoint, split: dict[str, int], context) -> None:
        unknown = split.keys() - {model.id for model in endpoint.deployed_models}
        if unknown or sum(split.values()) != 100 or "0" in split:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"traffic {split}")
        endpoint.traffic_split = split

    def _start(self, deployed: v1.DeployedModel, model: v1.Model) -> bool:
        """Start a model's container; whether it answers healthily before it ends."""
        port, container = free_port(), model.container_spec
        variables = {
            "AIP_HTTP_PORT": str(port),
            "AIP_STORAGE_URI": model.artifact_uri,
            "AIP_PREDICT_ROUTE": container.predict_route,
            "AIP_HEALTH_ROUTE": container.health_route,
        }
        variables |= {variable.name: variable.value for variable in container.env}
        self.processes[deployed.id] = self.start(list(container.command), variables)
        self.ports[deployed.id] = port
        process = self.processes[deployed.id]
        wait_until(lambda: process.poll() is not None or _is_healthy(port))
        return process.poll() is None

    def close(self) -> None:
        """Stop the deployed models and the custom jobs."""
        self.end_jobs()
        processes = list(self.processes.values())  # a request may still deploy another
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(120)
        self.processes.clear()


def serve(folder: Path) -> Vertex:
    """Start a Vertex AI stand-in, listening at its `address`."""
    vertex = Vertex(folder)
    services = ("Pipeline", "Schedule", "Endpoint", "Model", "Prediction", "Job")
    named = [(f"google.cloud.aiplatform.v1.{name}Service", v1) for name in services]
    vertex.server, vertex.address = listen(vertex, [*named, ("google.longrunning.Operations", operations_pb2)])
    return vertex


def _is_healthy(port: int) -> bool:
    return listening(port) and requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok


def _parameter_value(value: Any, parameter_type: str) -> Any:
    """A parameter as Vertex AI passes it to the pipeline: integers, which the message has as floats, are restored."""
    number = MessageToDict(value)
    return int(number) if parameter_type == "NUMBER_INTEGER" else number
