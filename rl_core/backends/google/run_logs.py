"""The state of a pipeline job's tasks, with links to their output, which Vertex AI stores in Cloud Logging."""

from typing import Any
from urllib.parse import quote

from google.cloud.aiplatform_v1 import Artifact, PipelineJob, PipelineState, PipelineTaskDetail
from google.protobuf.json_format import MessageToDict

from banditloop.rl_core.ports import RunArtifact, RunTask, TaskState

CONSOLE = "https://console.cloud.google.com"
ENDED: dict[int, TaskState] = {
    PipelineTaskDetail.State.SUCCEEDED: "succeeded",
    PipelineTaskDetail.State.SKIPPED: "succeeded",
    PipelineTaskDetail.State.FAILED: "failed",
    PipelineTaskDetail.State.CANCELLED: "failed",
    PipelineTaskDetail.State.NOT_TRIGGERED: "failed",
}


def explain(job: PipelineJob) -> str:
    """The error of the last failed task, else the job's error, else the names of the running tasks."""
    tasks = _tasks(job)
    failed = [task for task in tasks if task.state == PipelineTaskDetail.State.FAILED and task.error.message]
    if failed:
        return f"{failed[-1].task_name}: {failed[-1].error.message}"
    if job.state == PipelineState.PIPELINE_STATE_CANCELLED:
        return "cancelled"
    running = [task.task_name for task in tasks if task.state == PipelineTaskDetail.State.RUNNING]
    return job.error.message or ", ".join(running)


def describe(job: PipelineJob, project: str) -> str:
    """State and error of the job and of each task, with the console addresses of the job and of each task's output."""
    run = job.name.rpartition("/")[2]
    state = f"{run}: {job.state.name.removeprefix('PIPELINE_STATE_')} {job.error.message}".rstrip()
    lines = [state, f"  {page(job, project)}"]
    for task in _tasks(job):
        lines += [f"{task.task_name}: {task.state.name} {task.error.message}".rstrip()]
        if job_name := task.executor_detail.container_detail.main_job:
            job_id = job_name.rpartition("/")[2]
            query = quote(f'resource.type="ml_job"\nresource.labels.job_id="{job_id}"', safe="")
            lines += [f"  {CONSOLE}/logs/query;query={query}?project={project}"]
    return "\n".join(lines)


def page(job: PipelineJob, project: str) -> str:
    """The console's address of the job."""
    _, _, _, location, _, run = job.name.split("/")
    return f"{CONSOLE}/vertex-ai/pipelines/locations/{location}/runs/{run}?project={project}"


def tasks(job: PipelineJob) -> list[RunTask]:
    """The tasks that have begun."""
    return [
        RunTask(task.task_name, ENDED.get(task.state, "running"), task.create_time, task.end_time)
        for task in _tasks(job)
        if task.state != PipelineTaskDetail.State.PENDING
    ]


def artifacts(job: PipelineJob) -> list[RunArtifact]:
    """The artifacts of the tasks, with their metadata."""
    return [
        RunArtifact(task.task_name, name, artifact.uri, _metadata(artifact))
        for task in _tasks(job)
        for name, output in task.outputs.items()
        for artifact in output.artifacts
    ]


def _metadata(artifact: Artifact) -> dict[str, Any]:
    return MessageToDict(Artifact.pb(artifact).metadata)


def _tasks(job: PipelineJob) -> list[PipelineTaskDetail]:
    return sorted(job.job_detail.task_details, key=lambda task: task.create_time)
