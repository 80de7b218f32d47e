"""The runner: an open-source Kubeflow Pipelines. A run's id is its name in the experiment of its endpoint.

Kubeflow Pipelines lets many runs, and many recurring runs, share a name. So a name is looked for before it is used, and
of two that submit or schedule under one name at the very same moment both succeed. Two runs that train on the same make
the same version, which is deployed once; the next `schedule` of the name leaves one schedule. Cron expressions are in
the time zone of its controller, which is UTC unless $CRON_SCHEDULE_TIMEZONE says otherwise there.
"""

from pathlib import Path
from typing import Any

from kfp_server_api import (
    ApiException,
    RecurringRunMode,
    V2beta1CronSchedule,
    V2beta1PipelineTaskDetail,
    V2beta1RecurringRun,
    V2beta1Run,
    V2beta1RuntimeConfig,
    V2beta1Trigger,
)
from urllib3.exceptions import HTTPError

from rl_core.backend import GoogleBackend
from rl_core.backends import Run, RunState, Schedule
from rl_core.backends.cron import checked_cron, next_run
from rl_core.backends.google.patience import Faults
from rl_core.backends.kubeflow.experiment import OURS, Experiment
from rl_core.backends.templates import checked
from rl_core.errors import InvalidInput

ENDED: dict[str, RunState] = {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELED": "failed"}
SECONDS = "0 "  # with which a cron expression begins here
KUBEFLOW = Faults(
    "Kubeflow Pipelines",
    (ApiException, HTTPError),
    lambda error: isinstance(error, HTTPError) or getattr(error, "status", 0) in (429, 500, 502, 503, 504),
)


class KubeflowRunner:
    """See rl_core.backends.Runner."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._experiment = Experiment(backend.kfp, backend.endpoint)
        self._root = f"gs://{backend.bucket}/{backend.endpoint}/runs"
        self._unanswered: set[str] = set()  # run ids that may be taken by ourselves: the answer was lost

    def submit(self, template: Path, parameters: dict[str, Any], run_id: str) -> bool:
        spec = checked(template, parameters, elsewhere=True)
        if self._experiment.runs(run_id):
            return run_id in self._unanswered
        run = V2beta1Run(
            experiment_id=self._experiment.make(),
            display_name=run_id,
            pipeline_spec=spec,
            runtime_config=V2beta1RuntimeConfig(parameters=parameters, pipeline_root=self._root),
        )
        try:
            self._experiment.client.runs.run_service_create_run(run=run)
        except KUBEFLOW.errors:
            self._unanswered.add(run_id)
            raise
        return True

    def state(self, run_id: str) -> RunState:
        return _state(self._run(run_id))

    def runs(self) -> list[Run]:
        return [Run(run.display_name, _state(run), run.created_at) for run in self._experiment.runs()]

    def explain(self, run_id: str) -> str:
        run, tasks = self._tasks(run_id)
        failed = [task for task in tasks if task.state == "FAILED" and _error(task)]
        if failed:
            return f"{failed[-1].display_name}: {_error(failed[-1])}"
        return _error(run) or ", ".join(task.display_name for task in tasks if task.state == "RUNNING")

    def log(self, run_id: str) -> str:
        run, tasks = self._tasks(run_id)
        lines = [f"{task.display_name}: {task.state} {_error(task)}".rstrip() for task in tasks]
        page = f"{self._experiment.address.rstrip('/')}/#/runs/details/{run.run_id}"
        return "\n".join([f"{run.display_name}: {run.state} {_error(run)}".rstrip(), f"  {page}", *lines])

    def schedule(self, name: str, cron: str, template: Path, parameters: dict[str, Any]) -> None:
        wanted = V2beta1RecurringRun(
            display_name=name,
            description=OURS,
            pipeline_spec=checked(template, parameters, elsewhere=True),
            runtime_config=V2beta1RuntimeConfig(parameters=parameters, pipeline_root=self._root),
            trigger=V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron=SECONDS + checked_cron(cron))),
            max_concurrency="1",
            no_catchup=True,
        )
        before = self._experiment.recurring(name)
        paused = before and not _active(before[-1])
        wanted.mode = RecurringRunMode.DISABLE if paused else RecurringRunMode.ENABLE
        wanted.experiment_id = self._experiment.make()
        self._experiment.client.recurring_runs.recurring_run_service_create_recurring_run(recurring_run=wanted)
        for replaced in before:  # they cannot be changed
            self._delete(replaced)

    def schedules(self) -> list[Schedule]:
        found = {recurring.display_name: _schedule(recurring) for recurring in self._experiment.recurring()}
        return [found[name] for name in sorted(found)]

    def pause(self, name: str) -> None:
        for recurring in self._scheduled(name):
            self._experiment.client.disable_recurring_run(recurring.recurring_run_id)

    def resume(self, name: str) -> None:
        for recurring in self._scheduled(name):
            self._experiment.client.enable_recurring_run(recurring.recurring_run_id)

    def unschedule(self, name: str) -> bool:
        found = self._experiment.recurring(name)
        for recurring in found:
            self._delete(recurring)
        return bool(found)

    def _run(self, run_id: str) -> V2beta1Run:
        if not (found := self._experiment.runs(run_id)):
            raise InvalidInput(f"run {run_id!r}: there is no such run in {self._experiment}")
        return found[0]

    def _tasks(self, run_id: str) -> tuple[V2beta1Run, list[V2beta1PipelineTaskDetail]]:
        run = self._experiment.client.get_run(self._run(run_id).run_id)
        tasks = run.run_details.task_details if run.run_details else None
        return run, sorted(tasks or [], key=lambda task: task.create_time)

    def _scheduled(self, name: str) -> list[V2beta1RecurringRun]:
        if not (found := self._experiment.recurring(name)):
            raise InvalidInput(f"schedule {name!r}: there is no such schedule in {self._experiment}")
        return found

    def _delete(self, recurring: V2beta1RecurringRun) -> None:
        try:
            self._experiment.client.delete_recurring_run(recurring.recurring_run_id)
        except ApiException as error:
            if error.status != 404:  # it is gone already
                raise


def _state(run: V2beta1Run) -> RunState:
    return ENDED.get(run.state, "running")


def _error(one: V2beta1Run | V2beta1PipelineTaskDetail) -> str:
    return one.error.message or "" if one.error else ""


def _active(recurring: V2beta1RecurringRun) -> bool:
    return recurring.status != "DISABLED"


def _schedule(recurring: V2beta1RecurringRun) -> Schedule:
    cron = recurring.trigger.cron_schedule.cron.removeprefix(SECONDS)
    active = _active(recurring)
    return Schedule(recurring.display_name, cron, "active" if active else "paused", next_run(cron) if active else None)
