"""States and errors of runs and tasks in Kubeflow Pipelines."""

from collections.abc import Sequence

from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

from banditloop.rl_core.ports import RunState, RunTask, TaskState

FINAL_STATES: dict[str, RunState] = {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELED": "failed"}
TASK_STATES: dict[str, TaskState] = {**FINAL_STATES, "SKIPPED": "succeeded"}


def state(run: V2beta1Run) -> RunState:
    """The state of a run."""
    return FINAL_STATES.get(run.state, "running")


def error(detail: V2beta1Run | V2beta1PipelineTaskDetail) -> str:
    """The error of a run or a task; empty without one."""
    return detail.error.message or "" if detail.error else ""


def reason(run: V2beta1Run) -> str:
    """Why a run failed; empty if it did not."""
    return "cancelled" if run.state == "CANCELED" else error(run)


def begun(tasks: Sequence[V2beta1PipelineTaskDetail]) -> list[RunTask]:
    """The tasks that have begun."""
    return [
        RunTask(task.display_name, TASK_STATES.get(task.state, "running"), task.create_time, task.end_time)
        for task in tasks
        if task.state != "PENDING"
    ]
