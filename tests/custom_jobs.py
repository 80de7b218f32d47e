"""The custom jobs of tests' Vertex AI: a replica is a process of this machine, told what a container is told."""

import json
import subprocess
from datetime import UTC, datetime
from typing import Any

import grpc
from google.cloud import aiplatform_v1 as v1
from google.protobuf.empty_pb2 import Empty

from tests.processes import instead_of_container

RESTARTS = 5  # of a replica
State = v1.JobState
Place = tuple[int, int]  # the pool, and which of its replicas


class CustomJobs:
    """Its methods are named as those of the API. A job ends when its first replica does, or when one fails."""

    def __init__(self) -> None:
        self.custom_jobs: dict[str, v1.CustomJob] = {}
        self.replicas: dict[str, dict[Place, subprocess.Popen[bytes]]] = {}
        self.restarts: dict[str, list[Place]] = {}

    def CreateCustomJob(self, request: v1.CreateCustomJobRequest, context) -> v1.CustomJob:
        job, pools = request.custom_job, request.custom_job.job_spec.worker_pool_specs
        if not pools or pools[0].replica_count != 1:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first pool must have one replica")
        job.name, job.create_time = f"{request.parent}/customJobs/{len(self.custom_jobs) + 1}", datetime.now(UTC)
        job.state, self.restarts[job.name] = State.JOB_STATE_RUNNING, []
        self.custom_jobs[job.name] = job
        places = [(number, index) for number, pool in enumerate(pools) for index in range(pool.replica_count)]
        self.replicas[job.name] = {place: self._begin(job, place) for place in places}
        return job

    def GetCustomJob(self, request: v1.GetCustomJobRequest, context) -> v1.CustomJob:
        job = self.custom_jobs[request.name]
        for place, replica in self.replicas[job.name].items() if job.state == State.JOB_STATE_RUNNING else ():
            self._look(job, place, replica.poll())
        return job

    def ListCustomJobs(self, request: v1.ListCustomJobsRequest, context) -> v1.ListCustomJobsResponse:
        found = [job for job in self.custom_jobs.values() if labelled(job, request)]
        return v1.ListCustomJobsResponse(custom_jobs=found)

    def CancelCustomJob(self, request: v1.CancelCustomJobRequest, context) -> Empty:
        self._end(self.custom_jobs[request.name], State.JOB_STATE_CANCELLED)
        return Empty()

    def end_jobs(self) -> None:
        """End those that run."""
        for job in self.custom_jobs.values():
            if job.state == State.JOB_STATE_RUNNING:
                self._end(job, State.JOB_STATE_CANCELLED)

    def _look(self, job: v1.CustomJob, place: Place, code: int | None) -> None:
        if code == 0 and place == (0, 0):
            self._end(job, State.JOB_STATE_SUCCEEDED)
        elif code and code < 0 and self.restarts[job.name].count(place) < RESTARTS:  # its machine was taken away
            self.restarts[job.name].append(place)
            self.replicas[job.name][place] = self._begin(job, place)
        elif code:
            job.error = {
                "code": 3,
                "message": f"The replica workerpool{place[0]}-{place[1]} exited with status {code}.",
            }
            self._end(job, State.JOB_STATE_FAILED)

    def _end(self, job: v1.CustomJob, state: v1.JobState) -> None:
        job.state = state
        for replica in self.replicas[job.name].values():
            replica.terminate()
            replica.wait(20)

    def _begin(self, job: v1.CustomJob, place: Place) -> subprocess.Popen[bytes]:
        pools = job.job_spec.worker_pool_specs
        container = pools[place[0]].container_spec
        cluster = {f"workerpool{n}": [f"host-{i}:2222" for i in range(p.replica_count)] for n, p in enumerate(pools)}
        spec = {"cluster": cluster, "task": {"type": f"workerpool{place[0]}", "index": place[1]}}
        told = {variable.name: variable.value for variable in container.env} | {"CLUSTER_SPEC": json.dumps(spec)}
        return instead_of_container([*container.command, *container.args], told)


def labelled(resource: Any, request: Any) -> bool:
    """Whether a resource has the label that a request asks for."""
    key, _, value = request.filter.removeprefix("labels.").partition("=")
    return resource.labels.get(key) == json.loads(value)
