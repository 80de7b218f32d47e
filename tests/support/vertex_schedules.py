"""Schedules of the Vertex AI stand-in. A test starts their runs."""

import json
from datetime import UTC, datetime
from pathlib import Path

import grpc
from cronsim import CronSim, CronSimError
from google.cloud import aiplatform_v1 as v1
from google.longrunning.operations_pb2 import Operation
from google.protobuf.empty_pb2 import Empty

from tests.support.stand_ins import Records, finished
from tests.support.vertex_operations import Operations
from tests.support.vertex_pipelines import PipelineJobs


class Schedules(PipelineJobs, Operations):
    """Handlers named after the API's methods."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.schedules: Records[v1.Schedule] = Records()

    def CreateSchedule(self, request: v1.CreateScheduleRequest, context) -> v1.Schedule:
        schedule = request.schedule
        if not schedule.display_name or schedule.max_concurrent_run_count < 1:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "display_name and max_concurrent_run_count are required")
        schedule.name = f"{request.parent}/schedules/{self.new_id()}"
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
