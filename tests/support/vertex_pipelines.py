"""Pipeline jobs of the Vertex AI stand-in, which run with kfp.local."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import yaml
from google.cloud import aiplatform_v1 as v1
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict

from banditloop.rl_core.backends.local.runner import LocalRunner
from banditloop.rl_core.pipeline_specs.template import declared_parameters, read_template
from banditloop.rl_core.ports import RunTask
from tests.support.custom_jobs import matches_label
from tests.support.stand_ins import Records

STATES = {"running": "RUNNING", "succeeded": "SUCCEEDED", "failed": "FAILED"}


class PipelineJobs:
    """Handlers named after the API's methods."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.jobs: Records[v1.PipelineJob] = Records()
        self.cancelled: Records[int] = Records()  # by job, the number of reads until it has ended
        self._runner, self._folder = LocalRunner(folder / "runs"), folder
        self._creating = threading.Lock()

    def CreatePipelineJob(self, request: v1.CreatePipelineJobRequest, context) -> v1.PipelineJob:
        with self._creating:
            if f"{request.parent}/pipelineJobs/{request.pipeline_job_id}" in self.jobs:
                context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{request.pipeline_job_id} exists")
            return self._run(request.parent, request.pipeline_job, request.pipeline_job_id)

    def _run(self, parent: str, job: v1.PipelineJob, run: str) -> v1.PipelineJob:
        job.name, job.create_time = f"{parent}/pipelineJobs/{run}", datetime.now(UTC)
        message = v1.PipelineJob.pb(job)
        template = self._folder / f"{run}.yaml"
        template.write_text(yaml.safe_dump(MessageToDict(message.pipeline_spec)))
        declared = declared_parameters(read_template(template))
        parameters = {
            key: _parameter_value(value, declared[key]["parameterType"])
            for key, value in message.runtime_config.parameter_values.items()
        }
        self._runner.submit(template, parameters, run)
        self.jobs[job.name] = job  # now that it has a folder, from which others read its state
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


def _parameter_value(value: Any, parameter_type: str) -> Any:
    """A parameter as Vertex AI passes it to the pipeline: integers, which the message has as floats, are restored."""
    number = MessageToDict(value)
    return int(number) if parameter_type == "NUMBER_INTEGER" else number
