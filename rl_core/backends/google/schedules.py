"""The schedules of a loop on Vertex AI Pipelines.

They are identified by their display name within the loop, as Vertex AI assigns numeric ids. Two processes that create a
schedule of the same name at the same moment may both succeed.
"""

from functools import cached_property

from google.cloud.aiplatform_v1 import PipelineJob, ScheduleServiceClient
from google.cloud.aiplatform_v1 import Schedule as VertexSchedule

from banditloop.rl_core.backends.google.clients import LABEL, location_name, name_prefix, vertex_client
from banditloop.rl_core.backends.google.operations import wait
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.pipeline_specs.cron import check_cron
from banditloop.rl_core.ports import Schedule
from banditloop.rl_core.settings.backend import GoogleBackend

UTC = "TZ=UTC "  # prefix of a cron expression
ACTIVE, PAUSED = VertexSchedule.State.ACTIVE, VertexSchedule.State.PAUSED
DELETE_SECONDS = 300.0


class VertexSchedules:
    """The schedules of an endpoint, for the methods of banditloop.rl_core.ports.Runner."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._backend, self._location, self._prefix = backend, location_name(backend), name_prefix(backend)

    @cached_property
    def _client(self) -> ScheduleServiceClient:
        return vertex_client(self._backend, ScheduleServiceClient)

    def set(self, name: str, cron: str, job: PipelineJob) -> None:
        """Create the schedule of this name, or change it."""
        desired = VertexSchedule(
            display_name=job.display_name,
            cron=UTC + check_cron(cron),
            max_concurrent_run_count=1,  # started at a time
            max_concurrent_active_run_count=1,  # running at a time
            create_pipeline_job_request={"parent": self._location, "pipeline_job": job},
        )
        if not (existing := self._find(name)):
            self._client.create_schedule(parent=self._location, schedule=desired)
        for schedule in existing:
            desired.name = schedule.name
            mask = {"paths": ["cron", "create_pipeline_job_request"]}
            self._client.update_schedule(schedule=desired, update_mask=mask)

    def all(self) -> list[Schedule]:
        """All schedules of the loop, by name."""
        schedules = [
            Schedule(
                name=schedule.display_name.removeprefix(self._prefix),
                cron=schedule.cron.removeprefix(UTC),
                state="active" if schedule.state == ACTIVE else "paused",
                next_run=schedule.next_run_time if schedule.state == ACTIVE else None,
            )
            for schedule in self._find()
        ]
        return sorted(schedules, key=lambda schedule: schedule.name)

    def pause(self, name: str) -> None:
        """Pause a schedule."""
        for schedule in self._existing(name):
            if schedule.state == ACTIVE:
                self._client.pause_schedule(name=schedule.name)

    def resume(self, name: str) -> None:
        """Resume a paused schedule."""
        for schedule in self._existing(name):
            if schedule.state == PAUSED:
                self._client.resume_schedule(name=schedule.name)

    def delete(self, name: str) -> bool:
        """Delete a schedule; False if there is none of this name."""
        schedules = self._find(name)
        for schedule in schedules:
            wait(self._client.delete_schedule(name=schedule.name), DELETE_SECONDS)
        return bool(schedules)

    def _find(self, name: str | None = None) -> list[VertexSchedule]:
        """This loop's schedules, all or those of a name. Vertex AI cannot filter by the labels of the job to run."""
        condition = f'display_name="{self._prefix}{name}"' if name else "create_pipeline_job_request:*"
        schedules = self._client.list_schedules(request={"parent": self._location, "filter": condition})
        return [
            schedule
            for schedule in schedules
            if schedule.create_pipeline_job_request.pipeline_job.labels.get(LABEL) == self._backend.endpoint
        ]

    def _existing(self, name: str) -> list[VertexSchedule]:
        if not (schedules := self._find(name)):
            raise InvalidInput(f"schedule {name!r}: there is no such schedule in {self._location}")
        return schedules
