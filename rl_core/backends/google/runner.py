"""The runner: Vertex AI pipelines. A run's id is in the pipeline job's, which can be taken only once.

A schedule has a name only among those of its loop: Vertex AI tells schedules apart by numbers of its own. Two that
create one of the same name at the same moment may both succeed.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, NotFound
from google.cloud.aiplatform_v1 import PipelineJob, PipelineServiceClient, PipelineState, ScheduleServiceClient
from google.cloud.aiplatform_v1 import Schedule as VertexSchedule
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from rl_core.backend import GoogleBackend
from rl_core.backends import Run, RunState, Schedule
from rl_core.backends.cron import checked_cron
from rl_core.backends.google import custom_job, tasks
from rl_core.backends.google.clients import LABEL, place, vertex
from rl_core.backends.templates import checked
from rl_core.errors import InvalidInput

ENDED: dict[int, RunState] = {
    PipelineState.PIPELINE_STATE_SUCCEEDED: "succeeded",
    PipelineState.PIPELINE_STATE_FAILED: "failed",
    PipelineState.PIPELINE_STATE_CANCELLED: "failed",
}
UTC = "TZ=UTC "  # before a cron expression
ACTIVE, PAUSED = VertexSchedule.State.ACTIVE, VertexSchedule.State.PAUSED
DELETE_SECONDS = 300.0
JOB_ID = r"[a-z][a-z0-9-]{0,127}"


class VertexRunner:
    """See rl_core.backends.Runner."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend = backend
        self._unanswered: set[str] = set()  # run ids that may be taken by ourselves: the answer was lost

    @cached_property
    def _client(self) -> PipelineServiceClient:
        return vertex(self._backend, PipelineServiceClient)

    @cached_property
    def _scheduler(self) -> ScheduleServiceClient:
        return vertex(self._backend, ScheduleServiceClient)

    def submit(self, template: Path, parameters: dict[str, Any], run_id: str) -> bool:
        job, name = self.job(template, parameters, run_id), self._prefix + run_id
        if not re.fullmatch(JOB_ID, name):
            raise InvalidInput(
                f"run_id = {run_id!r}: give small letters, digits and -, with {self._prefix} at most 128"
            )
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
            service_account=backend.runs_as(),
            runtime_config={"gcs_output_directory": f"gs://{backend.bucket}/{backend.endpoint}/runs"},
        )
        plain = PipelineJob.pb(job)
        plain.pipeline_spec.CopyFrom(ParseDict(checked(template, parameters, elsewhere=True), Struct()))
        for key, value in parameters.items():
            ParseDict(value, plain.runtime_config.parameter_values[key])
        return job

    def state(self, run_id: str) -> RunState:
        return _state(self._get(run_id))

    def runs(self) -> list[Run]:
        return [Run(self._run_id(job), _state(job), job.create_time) for job in self._jobs()]

    def explain(self, run_id: str) -> str:
        return tasks.explain(self._get(run_id))

    def log(self, run_id: str) -> str:
        return tasks.log(self._get(run_id), self._backend.project)

    def stop(self) -> None:
        """Let no schedule start another run, and cancel those that run."""
        for schedule in self.schedules():
            self.unschedule(schedule.name)
        for job in self._jobs():
            if _state(job) == "running":
                self._client.cancel_pipeline_job(name=job.name)
        custom_job.cancel_all(self._backend)

    def schedule(self, name: str, cron: str, template: Path, parameters: dict[str, Any]) -> None:
        parent, display_name = place(self._backend), self._prefix + name
        job = self.job(template, parameters, display_name)
        wanted = VertexSchedule(
            display_name=display_name,
            cron=UTC + checked_cron(cron),
            max_concurrent_run_count=1,  # starting at a time
            max_concurrent_active_run_count=1,  # running at a time
            create_pipeline_job_request={"parent": parent, "pipeline_job": job},
        )
        if not (found := self._schedules(name)):
            self._scheduler.create_schedule(parent=parent, schedule=wanted)
        for schedule in found:
            wanted.name = schedule.name
            mask = {"paths": ["cron", "create_pipeline_job_request"]}
            self._scheduler.update_schedule(schedule=wanted, update_mask=mask)

    def schedules(self) -> list[Schedule]:
        found = [
            Schedule(
                name=schedule.display_name.removeprefix(self._prefix),
                cron=schedule.cron.removeprefix(UTC),
                state="active" if schedule.state == ACTIVE else "paused",
                next_run=schedule.next_run_time if schedule.state == ACTIVE else None,
            )
            for schedule in self._schedules()
        ]
        return sorted(found, key=lambda schedule: schedule.name)

    def pause(self, name: str) -> None:
        for schedule in self._known(name):
            if schedule.state == ACTIVE:
                self._scheduler.pause_schedule(name=schedule.name)

    def resume(self, name: str) -> None:
        for schedule in self._known(name):
            if schedule.state == PAUSED:
                self._scheduler.resume_schedule(name=schedule.name)

    def unschedule(self, name: str) -> bool:
        found = self._schedules(name)
        for schedule in found:
            self._scheduler.delete_schedule(name=schedule.name).result(DELETE_SECONDS)
        return bool(found)

    def _jobs(self) -> Iterable[PipelineJob]:
        return self._client.list_pipeline_jobs(
            request={
                "parent": place(self._backend),
                "filter": f'labels.{LABEL}="{self._backend.endpoint}"',
                "order_by": "create_time",
            }
        )

    def _schedules(self, name: str | None = None) -> list[VertexSchedule]:
        """This loop's schedules, or those of a name. One cannot ask for a label of what they run."""
        wanted = f'display_name="{self._prefix}{name}"' if name else "create_pipeline_job_request:*"
        found = self._scheduler.list_schedules(request={"parent": place(self._backend), "filter": wanted})
        return [
            s for s in found if s.create_pipeline_job_request.pipeline_job.labels.get(LABEL) == self._backend.endpoint
        ]

    def _known(self, name: str) -> list[VertexSchedule]:
        if not (found := self._schedules(name)):
            raise InvalidInput(f"schedule {name!r}: there is no such schedule in {place(self._backend)}")
        return found

    @property
    def _prefix(self) -> str:
        """Of the names of jobs and schedules, which all loops of a project share."""
        return f"{self._backend.endpoint}-"

    def _run_id(self, job: PipelineJob) -> str:
        return job.name.rpartition("/")[2].removeprefix(self._prefix)

    def _get(self, run_id: str) -> PipelineJob:
        for name in (self._prefix + run_id, run_id):  # a schedule's runs are named by Vertex AI
            with suppress(NotFound):
                job = self._client.get_pipeline_job(name=f"{place(self._backend)}/pipelineJobs/{name}")
                if job.labels.get(LABEL) == self._backend.endpoint:
                    return job
        raise InvalidInput(f"run {run_id!r}: there is no such run in {place(self._backend)}")


def _state(job: PipelineJob) -> RunState:
    return ENDED.get(job.state, "running")
