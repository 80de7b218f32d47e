"""Hyperparameter tuning jobs of the Vertex AI stand-in: every trial runs as a local process, with settings drawn."""

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import grpc
from google.cloud import aiplatform_v1 as v1
from google.protobuf.empty_pb2 import Empty

from tests.support.custom_jobs import matches_label
from tests.support.processes import start_as_process
from tests.support.stand_ins import Records

State, TrialState = v1.JobState, v1.Trial.State


class TuningJobs:
    """Handlers named after the API's methods. All trials of a job run one after the other when it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.tuning_jobs: Records[v1.HyperparameterTuningJob] = Records()

    def CreateHyperparameterTuningJob(self, request: v1.CreateHyperparameterTuningJobRequest, context) -> Any:
        job = request.hyperparameter_tuning_job
        if not (0 < job.parallel_trial_count <= job.max_trial_count):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "parallel_trial_count must be 1 to max_trial_count")
        if len(job.study_spec.metrics) != 1 or not job.display_name:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "one metric and a display_name are required")
        for spec in job.study_spec.parameters:
            _check(spec, context)
        job.name = f"{request.parent}/hyperparameterTuningJobs/{len(self.tuning_jobs) + 1}"
        job.state = State.JOB_STATE_RUNNING
        self.tuning_jobs[job.name] = job
        return job

    def GetHyperparameterTuningJob(self, request: v1.GetHyperparameterTuningJobRequest, context) -> Any:
        job = self.tuning_jobs[request.name]
        if job.state == State.JOB_STATE_RUNNING:
            job.trials.append(_run(job, len(job.trials) + 1))
            if len(job.trials) == job.max_trial_count:
                failed = all(trial.state == TrialState.INFEASIBLE for trial in job.trials)
                job.state = State.JOB_STATE_FAILED if failed else State.JOB_STATE_SUCCEEDED
                job.error = {"code": 9, "message": "All trials failed."} if failed else None
        return job

    def ListHyperparameterTuningJobs(self, request: v1.ListHyperparameterTuningJobsRequest, context) -> Any:
        jobs = [job for job in self.tuning_jobs.values() if matches_label(job, request)]
        return v1.ListHyperparameterTuningJobsResponse(hyperparameter_tuning_jobs=jobs)

    def CancelHyperparameterTuningJob(self, request: v1.CancelHyperparameterTuningJobRequest, context) -> Empty:
        self.tuning_jobs[request.name].state = State.JOB_STATE_CANCELLED
        return Empty()


def _check(spec: v1.StudySpec.ParameterSpec, context) -> None:
    """As strict as Vertex AI: no whitespace in ids, discrete values sorted, a logarithmic scale above 0."""
    if not spec.parameter_id or " " in spec.parameter_id:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"parameter_id {spec.parameter_id!r}")
    values = list(spec.discrete_value_spec.values)
    if values != sorted(set(values)):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{spec.parameter_id}: values must increase: {values}")
    is_log = spec.scale_type == v1.StudySpec.ParameterSpec.ScaleType.UNIT_LOG_SCALE
    if is_log and max(spec.double_value_spec.min_value, spec.integer_value_spec.min_value) <= 0:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{spec.parameter_id}: a logarithmic scale begins above 0")
    for conditional in spec.conditional_parameter_specs:
        _check(conditional.parameter_spec, context)


def _run(job: v1.HyperparameterTuningJob, number: int) -> v1.Trial:
    """The trial of this number, with the last value that its process wrote."""
    drawn = _drawn(job.study_spec.parameters, random.Random(number))
    [pool] = job.trial_job_spec.worker_pool_specs
    container, file = pool.container_spec, Path(tempfile.mkdtemp()) / "output.metric"
    variables = {variable.name: variable.value for variable in container.env}
    variables |= {"CLOUD_ML_HP_METRIC_FILE": str(file), "CLOUD_ML_TRIAL_ID": str(number)}
    settings = [f"--{key}={value}" for key, value in drawn.items()]
    status = start_as_process([*container.command, *container.args, *settings], variables).wait(300)
    trial = v1.Trial(id=str(number), parameters=[{"parameter_id": key, "value": value} for key, value in drawn.items()])
    trial.state = TrialState.INFEASIBLE if status else TrialState.SUCCEEDED
    if not status:
        metric, last = job.study_spec.metrics[0].metric_id, json.loads(file.read_text().splitlines()[-1])
        measured = {"metric_id": metric, "value": float(last[metric])}
        trial.final_measurement = {"step_count": int(last["global_step"]), "metrics": [measured]}
    return trial


def _drawn(specs: Any, draws: random.Random) -> dict[str, Any]:
    """Values of all parameters whose conditions hold; numbers are floats, as Vertex AI has them."""
    drawn: dict[str, Any] = {}
    for spec in specs:
        kind = v1.StudySpec.ParameterSpec.pb(spec).WhichOneof("parameter_value_spec")
        given = getattr(spec, kind)
        if kind in ("discrete_value_spec", "categorical_value_spec"):
            drawn[spec.parameter_id] = draws.choice(list(given.values))
        elif kind == "integer_value_spec":
            drawn[spec.parameter_id] = float(draws.randint(given.min_value, given.max_value))
        else:
            drawn[spec.parameter_id] = draws.uniform(given.min_value, given.max_value)
        for conditional in spec.conditional_parameter_specs:
            if drawn[spec.parameter_id] in conditional.parent_categorical_values.values:
                drawn |= _drawn([conditional.parameter_spec], draws)
    return drawn
