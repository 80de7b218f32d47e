"""The state of a pipeline job's tasks, with links to their output, which Vertex AI stores in Cloud Logging."""

from urllib.parse import quote

from google.cloud.aiplatform_v1 import PipelineJob, PipelineTaskDetail

CONSOLE = "https://console.cloud.google.com"


def explain(job: PipelineJob) -> str:
    """The error of the last failed task, else the job's error, else the names of the running tasks."""
    tasks = _tasks(job)
    failed = [task for task in tasks if task.state == PipelineTaskDetail.State.FAILED and task.error.message]
    if failed:
        return f"{failed[-1].task_name}: {failed[-1].error.message}"
    running = [task.task_name for task in tasks if task.state == PipelineTaskDetail.State.RUNNING]
    return job.error.message or ", ".join(running)


def describe(job: PipelineJob, project: str) -> str:
    """State and error of the job and of each task, with the console addresses of the job and of each task's output."""
    _, _, _, location, _, run = job.name.split("/")
    page = f"{CONSOLE}/vertex-ai/pipelines/locations/{location}/runs/{run}?project={project}"
    lines = [f"{run}: {job.state.name.removeprefix('PIPELINE_STATE_')} {job.error.message}".rstrip(), f"  {page}"]
    for task in _tasks(job):
        lines += [f"{task.task_name}: {task.state.name} {task.error.message}".rstrip()]
        if job_name := task.executor_detail.container_detail.main_job:
            job_id = job_name.rpartition("/")[2]
            query = quote(f'resource.type="ml_job"\nresource.labels.job_id="{job_id}"', safe="")
            lines += [f"  {CONSOLE}/logs/query;query={query}?project={project}"]
    return "\n".join(lines)


def _tasks(job: PipelineJob) -> list[PipelineTaskDetail]:
    return sorted(job.job_detail.task_details, key=lambda task: task.create_time)
