"""A Vertex AI custom job: machines of the config's kind and number, which train for as long as that takes.

On spot machines a replica that was taken away is started again, and goes on from what it kept.
"""

import time
from contextlib import suppress
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.cloud.aiplatform_v1 import AcceleratorType, CustomJob, JobServiceClient, JobState

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import LABEL, place, vertex
from rl_core.backends.google.patience import patient
from rl_core.config import ENVIRONMENT_VARIABLE, Config
from rl_core.errors import InvalidInput, PlatformError

REPLICA = ["python", "-m", "rl_core.backends.google.replica"]
ENDED = {
    JobState.JOB_STATE_SUCCEEDED,
    JobState.JOB_STATE_FAILED,
    JobState.JOB_STATE_CANCELLED,
    JobState.JOB_STATE_EXPIRED,
}
FIRST_LOOK_SECONDS, LOOK_SECONDS = 0.5, 30.0


def run(config: Config, backend: GoogleBackend, arguments: list[str]) -> None:
    """Run the replicas until the job has ended; it is cancelled where this does not end well.

    Should the answer to its creation be lost, a second job does the same, to the same end.

    Raises:
        PlatformError: it failed.
    """
    client, pause = vertex(backend, JobServiceClient), FIRST_LOOK_SECONDS
    jobs = patient(client)
    job = jobs.create_custom_job(parent=place(backend), custom_job=_job(config, backend, arguments))
    try:
        while job.state not in ENDED:
            time.sleep(pause)
            pause = min(2 * pause, LOOK_SECONDS)
            job = jobs.get_custom_job(name=job.name)
    except BaseException:
        with suppress(GoogleAPIError):  # what made it end is what is told
            client.cancel_custom_job(name=job.name)
        raise
    if job.state != JobState.JOB_STATE_SUCCEEDED:
        state = JobState(job.state).name.removeprefix("JOB_STATE_").lower()
        raise PlatformError(f"custom job {job.name.rpartition('/')[2]}: {state}: {job.error.message}".rstrip(": "))


def cancel_all(backend: GoogleBackend) -> None:
    """Cancel the loop's jobs that go on, which outlive the pipelines that they train for."""
    client = vertex(backend, JobServiceClient)
    ours = {"parent": place(backend), "filter": f'labels.{LABEL}="{backend.endpoint}"'}
    for job in client.list_custom_jobs(request=ours):
        if job.state not in ENDED:
            client.cancel_custom_job(name=job.name)


def _job(config: Config, backend: GoogleBackend, arguments: list[str]) -> CustomJob:
    """The first replica is a pool of its own, as Vertex AI wants it."""
    machine: dict[str, Any] = {"machine_type": backend.trainer_machine}
    if kind := backend.trainer_accelerator:
        if kind not in AcceleratorType.__members__:
            known = ", ".join(name for name, number in AcceleratorType.__members__.items() if number)
            raise InvalidInput(f"backend.trainer_accelerator = {kind!r}: Vertex AI has {known}")
        machine |= {"accelerator_type": kind, "accelerator_count": backend.trainer_accelerators}
    variables = [{"name": ENVIRONMENT_VARIABLE, "value": config.model_dump_json(exclude_none=True)}]
    container = {"image_uri": backend.image, "command": REPLICA, "args": arguments, "env": variables}
    pools = [
        {"machine_spec": machine, "container_spec": container, "replica_count": replicas}
        for replicas in (1, backend.trainer_replicas - 1)
        if replicas
    ]
    return CustomJob(
        display_name=f"{backend.endpoint}-trainer",
        labels={LABEL: backend.endpoint},
        job_spec={
            "worker_pool_specs": pools,
            "scheduling": {"strategy": "SPOT" if backend.trainer_spot else "STANDARD"},
            "service_account": backend.runs_as(),
        },
    )
