"""Training on a Vertex AI custom job, on machines of the configured type and number.

A preempted replica on a spot machine is restarted and resumes from its last checkpoint.
"""

import time
from contextlib import suppress
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.cloud.aiplatform_v1 import AcceleratorType, CustomJob, JobServiceClient, JobState

from banditloop.rl_core.backends.google.clients import LABEL, location_name, vertex_client
from banditloop.rl_core.backends.google.retry_policy import GOOGLE
from banditloop.rl_core.backends.retries import with_retries
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput, PlatformError
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE

REPLICA = ["python", "-m", "banditloop.rl_core.backends.google.custom_job_replica"]
ENDED = {
    JobState.JOB_STATE_SUCCEEDED,
    JobState.JOB_STATE_FAILED,
    JobState.JOB_STATE_CANCELLED,
    JobState.JOB_STATE_EXPIRED,
}
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.5, 30.0


def run(config: Config, backend: GoogleBackend, arguments: list[str]) -> None:
    """Run the replicas until the job has ended, and cancel the job if waiting for it is interrupted or fails.

    If the response to the creation is lost, the retry creates a second job, which computes the same result.

    Raises:
        PlatformError: the job did not succeed.
    """
    client, pause = vertex_client(backend, JobServiceClient), FIRST_POLL_SECONDS
    jobs = with_retries(client, GOOGLE)
    job = jobs.create_custom_job(parent=location_name(backend), custom_job=_job(config, backend, arguments))
    try:
        while job.state not in ENDED:
            time.sleep(pause)
            pause = min(2 * pause, MAX_POLL_SECONDS)
            job = jobs.get_custom_job(name=job.name)
    except BaseException:
        with suppress(GoogleAPIError):  # the original error is the one to raise
            client.cancel_custom_job(name=job.name)
        raise
    if job.state != JobState.JOB_STATE_SUCCEEDED:
        state = JobState(job.state).name.removeprefix("JOB_STATE_").lower()
        raise PlatformError(f"custom job {job.name.rpartition('/')[2]}: {state}: {job.error.message}".rstrip(": "))


def cancel_all(backend: GoogleBackend) -> None:
    """Cancel the loop's unfinished jobs, which would outlive the pipelines that wait for them."""
    client = vertex_client(backend, JobServiceClient)
    request = {"parent": location_name(backend), "filter": f'labels.{LABEL}="{backend.endpoint}"'}
    for job in client.list_custom_jobs(request=request):
        if job.state not in ENDED:
            client.cancel_custom_job(name=job.name)


def _job(config: Config, backend: GoogleBackend, arguments: list[str]) -> CustomJob:
    """The job that trains."""
    return CustomJob(
        display_name=f"{backend.endpoint}-trainer",
        labels={LABEL: backend.endpoint},
        job_spec=job_spec(config, backend, REPLICA, arguments, config.training.replicas),
    )


def job_spec(
    config: Config, backend: GoogleBackend, command: list[str], arguments: list[str], replicas: int
) -> dict[str, Any]:
    """The container and machines of a job. Vertex AI requires that the first worker pool has exactly one replica."""
    machine = _machine(config)
    variables = [{"name": ENVIRONMENT_VARIABLE, "value": config.model_dump_json(exclude_none=True)}]
    container = {"image_uri": backend.image, "command": command, "args": arguments, "env": variables}
    pools = [
        {"machine_spec": machine, "container_spec": container, "replica_count": count}
        for count in (1, replicas - 1)
        if count
    ]
    return {
        "worker_pool_specs": pools,
        "scheduling": _scheduling(config.training.spot),
        "service_account": backend.service_account_email(),
    }


def _scheduling(spot: bool) -> dict[str, Any]:
    """How Vertex AI retries.

    By default it restarts a failed replica up to five times, and a failed job up to three times, so a training that
    cannot succeed is billed again and again. Spot machines need these retries, which replace a preempted machine.
    Its replica resumes from a checkpoint, so the other replicas are not restarted.
    """
    return {
        "strategy": "SPOT" if spot else "STANDARD",
        "disable_retries": not spot,
        "restart_job_on_worker_restart": False,
    }


def _machine(config: Config) -> dict[str, Any]:
    training = config.training
    machine: dict[str, Any] = {"machine_type": training.machine_type}
    if accelerator := training.accelerator:
        if accelerator not in AcceleratorType.__members__:
            names = ", ".join(name for name, number in AcceleratorType.__members__.items() if number)
            raise InvalidInput(
                f"training.accelerator = {accelerator!r}: is not an accelerator of Vertex AI; give one of: {names}"
            )
        machine |= {"accelerator_type": accelerator, "accelerator_count": training.accelerator_count}
    return machine
