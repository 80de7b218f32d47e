"""Custom jobs of the Vertex AI stand-in. A replica runs as a local process with its container's environment."""

import json
import subprocess
from datetime import UTC, datetime
from typing import Any

import grpc
from google.cloud import aiplatform_v1 as v1
from google.protobuf.empty_pb2 import Empty

from tests.support.processes import start_as_process
from tests.support.stand_ins import Records

RESTARTS = 5  # of a replica
State = v1.JobState
ReplicaKey = tuple[int, int]  # number of the pool, index in the pool


class CustomJobs:
    """Handlers named after the API's methods. A job ends when its first replica ends, or when any replica fails."""

    def __init__(self) -> None:
        super().__init__()
        self.custom_jobs: Records[v1.CustomJob] = Records()
        self.replicas: Records[dict[ReplicaKey, subprocess.Popen[bytes]]] = Records()
        self.restarts: Records[list[ReplicaKey]] = Records()

    def CreateCustomJob(self, request: v1.CreateCustomJobRequest, context) -> v1.CustomJob:
        job, pools = request.custom_job, request.custom_job.job_spec.worker_pool_specs
        if not pools or pools[0].replica_count != 1:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first pool must have one replica")
        job.name, job.create_time = f"{request.parent}/customJobs/{len(self.custom_jobs) + 1}", datetime.now(UTC)
        job.state, self.restarts[job.name] = State.JOB_STATE_RUNNING, []
        self.custom_jobs[job.name] = job
        keys = [(number, index) for number, pool in enumerate(pools) for index in range(pool.replica_count)]
        self.replicas[job.name] = {key: self._start_replica(job, key) for key in keys}
        return job

    def GetCustomJob(self, request: v1.GetCustomJobRequest, context) -> v1.CustomJob:
        job = self.custom_jobs[request.name]
        for key, replica in self.replicas[job.name].items() if job.state == State.JOB_STATE_RUNNING else ():
            self._update(job, key, replica.poll())
        return job

    def ListCustomJobs(self, request: v1.ListCustomJobsRequest, context) -> v1.ListCustomJobsResponse:
        jobs = [job for job in self.custom_jobs.values() if matches_label(job, request)]
        return v1.ListCustomJobsResponse(custom_jobs=jobs)

    def CancelCustomJob(self, request: v1.CancelCustomJobRequest, context) -> Empty:
        self._finish(self.custom_jobs[request.name], State.JOB_STATE_CANCELLED)
        return Empty()

    def end_jobs(self) -> None:
        """Cancel the running jobs."""
        for job in self.custom_jobs.values():
            if job.state == State.JOB_STATE_RUNNING:
                self._finish(job, State.JOB_STATE_CANCELLED)

    def _update(self, job: v1.CustomJob, key: ReplicaKey, code: int | None) -> None:
        """Update a job from the exit code of a replica; None while it runs.

        Without `disable_retries` one that failed starts again on its machine, and one that lost its machine on another.
        """
        retries = 0 if job.job_spec.scheduling.disable_retries else RESTARTS
        if code == 0 and key == (0, 0):
            self._finish(job, State.JOB_STATE_SUCCEEDED)
        elif code and self.restarts[job.name].count(key) < retries:
            self.restarts[job.name].append(key)
            self.replicas[job.name][key] = self._start_replica(job, key)
        elif code:
            job.error = {
                "code": 3,
                "message": f"The replica workerpool{key[0]}-{key[1]} exited with status {code}.",
            }
            self._finish(job, State.JOB_STATE_FAILED)

    def _finish(self, job: v1.CustomJob, state: v1.JobState) -> None:
        job.state = state
        for replica in self.replicas[job.name].values():
            replica.terminate()
            replica.wait(120)

    def _start_replica(self, job: v1.CustomJob, key: ReplicaKey) -> subprocess.Popen[bytes]:
        pools = job.job_spec.worker_pool_specs
        container = pools[key[0]].container_spec
        cluster = {f"workerpool{n}": [f"host-{i}:2222" for i in range(p.replica_count)] for n, p in enumerate(pools)}
        spec = {"cluster": cluster, "task": {"type": f"workerpool{key[0]}", "index": key[1]}}
        variables = {variable.name: variable.value for variable in container.env} | {"CLUSTER_SPEC": json.dumps(spec)}
        return start_as_process([*container.command, *container.args], variables)


def matches_label(resource: Any, request: Any) -> bool:
    """Whether a resource has the label in a request's filter."""
    key, _, value = request.filter.removeprefix("labels.").partition("=")
    return resource.labels.get(key) == json.loads(value)
