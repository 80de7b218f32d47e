"""Runner on open-source Kubeflow Pipelines. A run id is the display name of a run in the endpoint's experiment.

Display names are not unique in Kubeflow Pipelines. `submit` and `schedule` look for an existing name first, so two
concurrent calls with one name may both succeed. This does no harm: two runs that train on the same interactions yield
the same version, which is deployed once, and the next `schedule` with the name leaves one schedule. Cron expressions
are in the time zone of the controller: UTC, unless its $CRON_SCHEDULE_TIMEZONE is set.
"""

from collections.abc import Sequence
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

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.backends.kubeflow import run_details
from banditloop.rl_core.backends.kubeflow.experiment import SCHEDULE_DESCRIPTION, Experiment
from banditloop.rl_core.backends.retries import RetryPolicy
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.pipeline_specs.cron import check_cron, next_run
from banditloop.rl_core.pipeline_specs.template import check_run
from banditloop.rl_core.ports import Run, RunArtifact, RunState, RunTask, Schedule, Trial
from banditloop.rl_core.settings.backend import GoogleBackend

CRON_SECONDS = "0 "  # Kubeflow's cron expressions start with a field for seconds
KUBEFLOW = RetryPolicy(
    "Kubeflow Pipelines",
    (ApiException, HTTPError),
    lambda error: isinstance(error, HTTPError) or getattr(error, "status", 0) in (429, 500, 502, 503, 504),
)


class KubeflowRunner:
    """See banditloop.rl_core.ports.Runner."""

    def __init__(self, backend: GoogleBackend) -> None:
        self._experiment = Experiment(backend.kfp_host, backend.endpoint)
        self._root = f"gs://{backend.bucket}/{backend.endpoint}/runs"
        self._unanswered: set[str] = set()  # run ids we may have created: the response was lost

    def train(self, config: Config, examples: Path, encoding: Encoding, parent: Path | None, work: Path) -> Statistics:
        from banditloop.rl_core.training.shards import train_here  # needs the extra `train`

        return train_here(config, examples, encoding, parent)

    def trials(self, config: Config, arguments: Sequence[str]) -> list[Trial] | None:
        return None

    def submit(self, template: Path, parameters: dict[str, Any], run_id: str) -> bool:
        spec = check_run(template, parameters, remote=True)
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
        return run_details.state(self._run(run_id))

    def runs(self) -> list[Run]:
        return [
            Run(run.display_name, run_details.state(run), run.created_at, run.finished_at, run_details.reason(run))
            for run in self._experiment.runs()
        ]

    def remove(self, run_ids: Sequence[str], dry_run: bool = False) -> Sequence[str]:
        return []

    def cancel(self, run_id: str) -> None:
        run = self._run(run_id)
        if (state := run_details.state(run)) != "running":
            raise InvalidInput(f"run {run_id!r}: is not running: it has {state}")
        self._experiment.client.terminate_run(run.run_id)

    def tasks(self, run_id: str) -> list[RunTask]:
        return run_details.begun(self._tasks(run_id)[1])

    def artifacts(self, run_id: str) -> list[RunArtifact]:
        self._run(run_id)
        return []  # the API names only ids; the run's page shows them

    def page(self, run_id: str) -> str:
        return self._page(self._run(run_id))

    def explain(self, run_id: str) -> str:
        run, tasks = self._tasks(run_id)
        failed = [task for task in tasks if task.state == "FAILED" and run_details.error(task)]
        if failed:
            return f"{failed[-1].display_name}: {run_details.error(failed[-1])}"
        return run_details.reason(run) or ", ".join(task.display_name for task in tasks if task.state == "RUNNING")

    def log(self, run_id: str) -> str:
        run, tasks = self._tasks(run_id)
        lines = [f"{task.display_name}: {task.state} {run_details.error(task)}".rstrip() for task in tasks]
        return "\n".join(
            [f"{run.display_name}: {run.state} {run_details.error(run)}".rstrip(), f"  {self._page(run)}", *lines]
        )

    def stop(self) -> None:
        """Delete all schedules and cancel all runs."""
        for schedule in self.schedules():
            self.unschedule(schedule.name)
        for run in self._experiment.runs():
            if run_details.state(run) == "running":
                self._experiment.client.terminate_run(run.run_id)

    def schedule(self, name: str, cron: str, template: Path, parameters: dict[str, Any]) -> None:
        recurring_run = V2beta1RecurringRun(
            display_name=name,
            description=SCHEDULE_DESCRIPTION,
            pipeline_spec=check_run(template, parameters, remote=True),
            runtime_config=V2beta1RuntimeConfig(parameters=parameters, pipeline_root=self._root),
            trigger=V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron=CRON_SECONDS + check_cron(cron))),
            max_concurrency="1",
            no_catchup=True,
        )
        existing = self._experiment.recurring(name)
        is_paused = existing and not _is_active(existing[-1])
        recurring_run.mode = RecurringRunMode.DISABLE if is_paused else RecurringRunMode.ENABLE
        recurring_run.experiment_id = self._experiment.make()
        self._experiment.client.recurring_runs.recurring_run_service_create_recurring_run(recurring_run=recurring_run)
        for replaced in existing:  # recurring runs cannot be updated
            self._delete(replaced)

    def schedules(self) -> list[Schedule]:
        schedules = {recurring.display_name: _schedule(recurring) for recurring in self._experiment.recurring()}
        return [schedules[name] for name in sorted(schedules)]

    def pause(self, name: str) -> None:
        for recurring in self._recurring_runs(name):
            self._experiment.client.disable_recurring_run(recurring.recurring_run_id)

    def resume(self, name: str) -> None:
        for recurring in self._recurring_runs(name):
            self._experiment.client.enable_recurring_run(recurring.recurring_run_id)

    def unschedule(self, name: str) -> bool:
        recurring_runs = self._experiment.recurring(name)
        for recurring in recurring_runs:
            self._delete(recurring)
        return bool(recurring_runs)

    def _run(self, run_id: str) -> V2beta1Run:
        if not (runs := self._experiment.runs(run_id)):
            raise InvalidInput(f"run {run_id!r}: there is no such run in {self._experiment}")
        return runs[0]

    def _page(self, run: V2beta1Run) -> str:
        return f"{self._experiment.address.rstrip('/')}/#/runs/details/{run.run_id}"

    def _tasks(self, run_id: str) -> tuple[V2beta1Run, list[V2beta1PipelineTaskDetail]]:
        run = self._experiment.client.get_run(self._run(run_id).run_id)
        tasks = run.run_details.task_details if run.run_details else None
        return run, sorted(tasks or [], key=lambda task: task.create_time)

    def _recurring_runs(self, name: str) -> list[V2beta1RecurringRun]:
        if not (recurring_runs := self._experiment.recurring(name)):
            raise InvalidInput(f"schedule {name!r}: there is no such schedule in {self._experiment}")
        return recurring_runs

    def _delete(self, recurring: V2beta1RecurringRun) -> None:
        try:
            self._experiment.client.delete_recurring_run(recurring.recurring_run_id)
        except ApiException as error:
            if error.status != 404:  # 404: already deleted
                raise


def _is_active(recurring: V2beta1RecurringRun) -> bool:
    return recurring.status != "DISABLED"


def _schedule(recurring: V2beta1RecurringRun) -> Schedule:
    cron = recurring.trigger.cron_schedule.cron.removeprefix(CRON_SECONDS)
    if _is_active(recurring):
        return Schedule(recurring.display_name, cron, "active", next_run(cron))
    return Schedule(recurring.display_name, cron, "paused", None)
