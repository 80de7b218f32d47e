"""The Cloud Scheduler job that makes the trigger and the monitor look."""

from functools import cached_property

from google.cloud import scheduler_v1

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import administration, place
from rl_core.backends.google.provisioning.messages import Topic
from rl_core.backends.google.provisioning.resource import State, differing, found

SCHEDULE = "*/5 * * * *"
PAUSED = scheduler_v1.Job.State.PAUSED


class Job:
    """A tick every five minutes, to a topic."""

    def __init__(self, backend: GoogleBackend, topic: Topic) -> None:
        self._backend, self._topic = backend, topic
        self._id = topic.name.rpartition("/")[2]
        self._name = f"{place(backend)}/jobs/{self._id}"

    def __str__(self) -> str:
        return f"scheduler job {self._id}"

    @cached_property
    def _client(self) -> scheduler_v1.CloudSchedulerClient:
        return administration(scheduler_v1.CloudSchedulerClient)

    def state(self) -> State:
        there = self._find()
        if there is None:
            return "missing"
        return "changed" if differing(there, self._wanted()) or there.state == PAUSED else "there"

    def make(self) -> None:
        there, wanted = self._find(), self._wanted()
        if there is None:
            self._client.create_job(parent=place(self._backend), job=wanted)
        elif there.state == PAUSED:
            self._client.resume_job(name=self._name)
        if there and differing(there, wanted):
            self._client.update_job(job=wanted, update_mask={"paths": differing(there, wanted)})

    def remove(self) -> bool:
        self._client.delete_job(name=self._name)
        return True

    def _find(self) -> scheduler_v1.Job | None:
        return found(self._client.get_job, name=self._name)

    def _wanted(self) -> scheduler_v1.Job:
        return scheduler_v1.Job(
            name=self._name,
            description=f"banditloop {self._backend.endpoint}: time to look",
            schedule=SCHEDULE,
            time_zone="Etc/UTC",
            pubsub_target={"topic_name": self._topic.name, "data": b"{}"},
        )
