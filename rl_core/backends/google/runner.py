"""The runner on Vertex AI Pipelines. The run id is part of the pipeline job's id, which Vertex AI keeps unique."""

import itertools
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, NotFound
from google.cloud.aiplatform_v1 import PipelineJob, PipelineServiceClient, PipelineState
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.backends.google import custom_job, run_logs, tuning_job
from banditloop.rl_core.backends.google.clients import LABEL, location_name, name_prefix, vertex_client
from banditloop.rl_core.backends.google.schedules import VertexSchedules
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.pipeline_specs.template import check_run
from banditloop.rl_core.ports import Run, RunArtifact, RunState, RunTask, Schedule, Trial
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.training.train import initial_statistics

ENDED: dict[int, RunState] = {
    PipelineState.PIPELINE_STATE_SUCCEEDED: "succeeded",
    PipelineState.PIPELINE_STATE_FAILED: "failed",
    PipelineState.PIPELINE_STATE_CANCELLED: "failed",
}
MAX_JOB_ID_LENGTH = 128
LISTED_RUNS = 100  # one page, as every tick lists the runs and an old loop has many
LISTED_FIELDS = ("name", "state", "error", "create_time", "end_time")  # not the specification, with its pipeline
JOB_ID = rf"[a-z][a-z0-9-]{{0,{MAX_JOB_ID_LENGTH - 1}}}"


class VertexRunner:
    """See banditloop.rl_core.ports.Runner."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend, self._location = backend, location_name(backend)
        self._prefix = name_prefix(backend)
        self._schedules = VertexSchedules(backend)
        self._unanswered: set[str] = set()  # run ids whose submission failed: this process may have created them

    @cached_property
    def _client(self) -> PipelineServiceClient:
        return vertex_client(self._backend, PipelineServiceClient)

    def train(self, config: Config, examples: Path, encoding: Encoding, parent: Path | None, work: Path) -> Statistics:
        from banditloop.rl_core.training import shards  # needs the extra `train`

        if not config.training.machine_type:
            return shards.train_here(config, examples, encoding, parent)
        shards.seed_shards(config, work, initial_statistics(config, encoding, parent), encoding)
        custom_job.run(config, self._backend, [str(examples), str(work)])
        return shards.merge_shards(config, examples, work, config.training.replicas)

    def trials(self, config: Config, arguments: Sequence[str]) -> list[Trial] | None:
        if not config.training.machine_type:
            return None
        return tuning_job.run(config, self._backend, arguments)

    def submit(self, template: Path, parameters: dict[str, Any], run_id: str) -> bool:
        job, name = self.job(template, parameters, run_id), self._prefix + run_id
        if not re.fullmatch(JOB_ID, name):
            limit = MAX_JOB_ID_LENGTH - len(self._prefix)
            raise InvalidInput(f"run_id = {run_id!r}: give lowercase letters, digits and -, at most {limit} characters")
        try:
            self._client.create_pipeline_job(parent=self._location, pipeline_job=job, pipeline_job_id=name)
        except AlreadyExists:
            return run_id in self._unanswered
        except GoogleAPICallError:
            self._unanswered.add(run_id)
            raise
        return True

    def job(self, template: Path, parameters: dict[str, Any], name: str) -> PipelineJob:
        """The pipeline job that runs a template with these parameters."""
        backend = self._backend
        job = PipelineJob(
            display_name=name,
            labels={LABEL: backend.endpoint},
            service_account=backend.service_account_email(),
            runtime_config={"gcs_output_directory": f"gs://{backend.bucket}/{backend.endpoint}/runs"},
        )
        message = PipelineJob.pb(job)
        message.pipeline_spec.CopyFrom(ParseDict(check_run(template, parameters, remote=True), Struct()))
        for key, value in parameters.items():
            ParseDict(value, message.runtime_config.parameter_values[key])
        return job

    def state(self, run_id: str) -> RunState:
        return _state(self._get(run_id))

    def runs(self) -> list[Run]:
        newest = list(itertools.islice(self._jobs(), LISTED_RUNS))
        return [_run(self._run_id(job), job) for job in reversed(newest)]

    def remove(self, run_ids: Sequence[str], dry_run: bool = False) -> Sequence[str]:
        return []

    def cancel(self, run_id: str) -> None:
        job = self._get(run_id)
        if (state := _state(job)) != "running":
            raise InvalidInput(f"run {run_id!r}: is not running: it has {state}")
        self._client.cancel_pipeline_job(name=job.name)

    def tasks(self, run_id: str) -> list[RunTask]:
        return run_logs.tasks(self._get(run_id))

    def artifacts(self, run_id: str) -> list[RunArtifact]:
        return run_logs.artifacts(self._get(run_id))

    def page(self, run_id: str) -> str:
        return run_logs.page(self._get(run_id), self._backend.project)

    def explain(self, run_id: str) -> str:
        return run_logs.explain(self._get(run_id))

    def log(self, run_id: str) -> str:
        return run_logs.describe(self._get(run_id), self._backend.project)

    def stop(self) -> None:
        """Delete all schedules and cancel all running jobs."""
        for schedule in self.schedules():
            self.unschedule(schedule.name)
        for job in self._jobs():
            if _state(job) == "running":
                self._client.cancel_pipeline_job(name=job.name)
        custom_job.cancel_all(self._backend)
        tuning_job.cancel_all(self._backend)

    def schedule(self, name: str, cron: str, template: Path, parameters: dict[str, Any]) -> None:
        self._schedules.set(name, cron, self.job(template, parameters, self._prefix + name))

    def schedules(self) -> list[Schedule]:
        return self._schedules.all()

    def pause(self, name: str) -> None:
        self._schedules.pause(name)

    def resume(self, name: str) -> None:
        self._schedules.resume(name)

    def unschedule(self, name: str) -> bool:
        return self._schedules.delete(name)

    def _jobs(self) -> Iterable[PipelineJob]:
        """The loop's jobs, newest first, page by page, without their tasks and specifications."""
        request = {
            "parent": self._location,
            "filter": f'labels.{LABEL}="{self._backend.endpoint}"',
            "order_by": "create_time desc",
            "page_size": LISTED_RUNS,
            "read_mask": {"paths": LISTED_FIELDS},
        }
        return self._client.list_pipeline_jobs(request=request)

    def _run_id(self, job: PipelineJob) -> str:
        return job.name.rpartition("/")[2].removeprefix(self._prefix)

    def _get(self, run_id: str) -> PipelineJob:
        for name in (self._prefix + run_id, run_id):  # Vertex AI names the runs of schedules itself
            with suppress(NotFound):
                job = self._client.get_pipeline_job(name=f"{self._location}/pipelineJobs/{name}")
                if job.labels.get(LABEL) == self._backend.endpoint:
                    return job
        raise InvalidInput(f"run {run_id!r}: there is no such run in {self._location}")


def _state(job: PipelineJob) -> RunState:
    return ENDED.get(job.state, "running")


def _run(run_id: str, job: PipelineJob) -> Run:
    state = _state(job)
    reason = run_logs.explain(job) if state == "failed" else ""
    return Run(run_id, state, job.create_time, job.end_time if state != "running" else None, reason)
