"""The runner: Vertex AI pipelines. A run's id is in the pipeline job's, which can be taken only once."""

from functools import cached_property
from pathlib import Path
from typing import Any

from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, NotFound
from google.cloud.aiplatform_v1 import PipelineJob, PipelineServiceClient, PipelineState, PipelineTaskDetail
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from rl_core.backend import GoogleBackend
from rl_core.backends import Run, RunState
from rl_core.backends.google.clients import LABEL, place, vertex
from rl_core.backends.templates import checked
from rl_core.errors import InvalidInput

ENDED: dict[int, RunState] = {
    PipelineState.PIPELINE_STATE_SUCCEEDED: "succeeded",
    PipelineState.PIPELINE_STATE_FAILED: "failed",
    PipelineState.PIPELINE_STATE_CANCELLED: "failed",
}


class VertexRunner:
    """See rl_core.backends.Runner."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend
        self._unanswered: set[str] = set()  # run ids that may be taken by ourselves: the answer was lost

    @cached_property
    def _client(self) -> PipelineServiceClient:
        return vertex(self._backend, PipelineServiceClient)

    def submit(self, template: Path, parameters: dict[str, Any], run_id: str) -> bool:
        job, name = self.job(template, parameters, run_id), self._prefix + run_id
        try:
            self._client.create_pipeline_job(parent=place(self._backend), pipeline_job=job, pipeline_job_id=name)
        except AlreadyExists:
            return run_id in self._unanswered
        except GoogleAPICallError:
            self._unanswered.add(run_id)
            raise
        return True

    def job(self, template: Path, parameters: dict[str, Any], name: str) -> PipelineJob:
        """The pipeline job of a template with its parameters."""
        backend = self._backend
        job = PipelineJob(
            display_name=name,
            labels={LABEL: backend.endpoint},
            service_account=backend.service_account,
            runtime_config={"gcs_output_directory": f"gs://{backend.bucket}/{backend.endpoint}/runs"},
        )
        plain = PipelineJob.pb(job)
        plain.pipeline_spec.CopyFrom(ParseDict(checked(template, parameters), Struct()))
        for key, value in parameters.items():
            ParseDict(value, plain.runtime_config.parameter_values[key])
        return job

    def state(self, run_id: str) -> RunState:
        return _state(self._get(run_id))

    def runs(self) -> list[Run]:
        jobs = self._client.list_pipeline_jobs(
            request={
                "parent": place(self._backend),
                "filter": f'labels.{LABEL}="{self._backend.endpoint}"',
                "order_by": "create_time",
            }
        )
        return [Run(self._run_id(job), _state(job), job.create_time) for job in jobs]

    def explain(self, run_id: str) -> str:
        job = self._get(run_id)
        tasks = sorted(job.job_detail.task_details, key=lambda task: task.create_time)
        failed = [task for task in tasks if task.state == PipelineTaskDetail.State.FAILED and task.error.message]
        if failed:
            return f"{failed[-1].task_name}: {failed[-1].error.message}"
        running = [task.task_name for task in tasks if task.state == PipelineTaskDetail.State.RUNNING]
        return job.error.message or ", ".join(running)

    @property
    def _prefix(self) -> str:
        """Of job ids, which all loops of a project share."""
        return f"{self._backend.endpoint}-"

    def _run_id(self, job: PipelineJob) -> str:
        return job.name.rpartition("/")[2].removeprefix(self._prefix)

    def _get(self, run_id: str) -> PipelineJob:
        try:
            return self._client.get_pipeline_job(name=f"{place(self._backend)}/pipelineJobs/{self._prefix}{run_id}")
        except NotFound:
            raise InvalidInput(f"run {run_id!r}: there is no such run in {place(self._backend)}") from None


def _state(job: PipelineJob) -> RunState:
    return ENDED.get(job.state, "running")
