"""What the tasks of a pipeline job say: Vertex AI keeps what they print in Cloud Logging."""

from urllib.parse import quote

from google.cloud.aiplatform_v1 import PipelineJob, PipelineTaskDetail

CONSOLE = "https://console.cloud.google.com"


def explain(job: PipelineJob) -> str:
    """The error of the task that failed, or the tasks that run."""
    tasks = _tasks(job)
    failed = [task for task in tasks if task.state == PipelineTaskDetail.State.FAILED and task.error.message]
    if failed:
        return f"{failed[-1].task_name}: {failed[-1].error.message}"
    running = [task.task_name for task in tasks if task.state == PipelineTaskDetail.State.RUNNING]
    return job.error.message or ", ".join(running)


def log(job: PipelineJob, project: str) -> str:
    """How the job and every task did, each with the address of what it printed, for whoever is signed in there."""
    _, _, _, location, _, run = job.name.split("/")
    page = f"{CONSOLE}/vertex-ai/pipelines/locations/{location}/runs/{run}?project={project}"
    lines = [f"{run}: {job.state.name.removeprefix('PIPELINE_STATE_')} {job.error.message}".rstrip(), f"  {page}"]
    for task in _tasks(job):
        lines += [f"{task.task_name}: {task.state.name} {task.error.message}".rstrip()]
        if ran_as := task.executor_detail.container_detail.main_job:
            wanted = quote(f'resource.type="ml_job"\nresource.labels.job_id="{ran_as.rpartition("/")[2]}"', safe="")
            lines += [f"  {CONSOLE}/logs/query;query={wanted}?project={project}"]
    return "\n".join(lines)


def _tasks(job: PipelineJob) -> list[PipelineTaskDetail]:
    return sorted(job.job_detail.task_details, key=lambda task: task.create_time)
