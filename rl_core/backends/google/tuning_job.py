"""Trials of a tuning as a hyperparameter tuning job of Vertex AI, which proposes the settings.

Every trial is a custom job of one machine, which gets its settings as arguments and writes its value to a file.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

from google.api_core.exceptions import GoogleAPIError
from google.cloud import aiplatform_v1 as v1

from banditloop.rl_core.backends.google import custom_job
from banditloop.rl_core.backends.google.clients import LABEL, location_name, vertex_client
from banditloop.rl_core.backends.google.retry_policy import GOOGLE
from banditloop.rl_core.backends.google.tuning_space import parameter_specs, parameters_of
from banditloop.rl_core.backends.retries import with_retries
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput, PlatformError
from banditloop.rl_core.ports import Trial
from banditloop.rl_core.settings.backend import GoogleBackend

METRIC = "final_average_return"
TRIAL = ["python", "-m", "banditloop.rl_core.tuning.trial"]
State = v1.Trial.State


def run(config: Config, backend: GoogleBackend, arguments: Sequence[str]) -> list[Trial]:
    """Run the trials until the job has ended, and cancel it if waiting for it is interrupted or fails.

    Raises:
        InvalidInput: the tuning section asks for something that Vertex AI lacks.
        PlatformError: the job did not succeed.
    """
    client, pause = vertex_client(backend, v1.JobServiceClient), custom_job.FIRST_POLL_SECONDS
    jobs = with_retries(client, GOOGLE)
    specification = _job(config, backend, arguments)
    job = jobs.create_hyperparameter_tuning_job(parent=location_name(backend), hyperparameter_tuning_job=specification)
    try:
        while job.state not in custom_job.ENDED:
            time.sleep(pause)
            pause = min(2 * pause, custom_job.MAX_POLL_SECONDS)
            job = jobs.get_hyperparameter_tuning_job(name=job.name)
    except BaseException:
        with suppress(GoogleAPIError):  # the original error is the one to raise
            client.cancel_hyperparameter_tuning_job(name=job.name)
        raise
    if job.state != v1.JobState.JOB_STATE_SUCCEEDED:
        state = v1.JobState(job.state).name.removeprefix("JOB_STATE_").lower()
        raise PlatformError(f"tuning job {job.name.rpartition('/')[2]}: {state}: {job.error.message}".rstrip(": "))
    return [_trial(config, number, trial) for number, trial in enumerate(job.trials)]


def cancel_all(backend: GoogleBackend) -> None:
    """Cancel the loop's unfinished jobs, which would outlive the pipelines that wait for them."""
    client = vertex_client(backend, v1.JobServiceClient)
    request = {"parent": location_name(backend), "filter": f'labels.{LABEL}="{backend.endpoint}"'}
    for job in client.list_hyperparameter_tuning_jobs(request=request):
        if job.state not in custom_job.ENDED:
            client.cancel_hyperparameter_tuning_job(name=job.name)


def _job(config: Config, backend: GoogleBackend, arguments: Sequence[str]) -> v1.HyperparameterTuningJob:
    """The job's specification: Vertex AI's own search, which is Bayesian, and the machines of the training section."""
    tuning = config.tuning
    if tuning.pruning == "hyperband":
        raise InvalidInput("tuning.pruning = 'hyperband': Vertex AI ends trials by the median; give median or none")
    study: dict[str, Any] = {
        "metrics": [{"metric_id": METRIC, "goal": "MAXIMIZE"}],
        "parameters": parameter_specs(config),
    }
    if tuning.pruning == "median":
        study["median_automated_stopping_spec"] = {}
    return v1.HyperparameterTuningJob(
        display_name=f"{backend.endpoint}-tuner",
        labels={LABEL: backend.endpoint},
        max_trial_count=tuning.trials,
        parallel_trial_count=min(tuning.parallel, tuning.trials),
        study_spec=study,
        trial_job_spec=custom_job.job_spec(config, backend, TRIAL, list(arguments), replicas=1),
    )


def _trial(config: Config, number: int, trial: v1.Trial) -> Trial:
    """A trial, from Vertex AI's description of it."""
    metrics = {metric.metric_id: metric.value for metric in trial.final_measurement.metrics}
    parameters = parameters_of(config, {parameter.parameter_id: parameter.value for parameter in trial.parameters})
    state: Literal["complete", "pruned", "failed"] = "failed"
    if METRIC in metrics and trial.state in (State.SUCCEEDED, State.STOPPING):  # stopping: ended early, by the median
        state = "complete" if trial.state == State.SUCCEEDED else "pruned"
    return Trial(number, parameters, state, metrics.get(METRIC), None, None)
