"""The Cloud Scheduler jobs that start the logger, the trigger and the monitor."""

from functools import cached_property

from google.cloud import scheduler_v1

from banditloop.rl_core.backends.google.clients import admin_client, location_name
from banditloop.rl_core.backends.google.provisioning.pubsub import Topic
from banditloop.rl_core.backends.google.provisioning.resource import changed_fields, get_or_none
from banditloop.rl_core.ports import ResourceState
from banditloop.rl_core.settings.backend import GoogleBackend

PAUSED = scheduler_v1.Job.State.PAUSED


class SchedulerJob:
    """Publishes a tick to a topic every few minutes, to start these functions."""

    def __init__(self, backend: GoogleBackend, topic: Topic, minutes: int, functions: str) -> None:
        self._backend, self._topic, self._minutes, self._functions = backend, topic, minutes, functions
        self._id = topic.name.rpartition("/")[2]
        self._name = f"{location_name(backend)}/jobs/{self._id}"

    def __str__(self) -> str:
        return f"scheduler job {self._id}"

    @cached_property
    def _client(self) -> scheduler_v1.CloudSchedulerClient:
        return admin_client(self._backend, scheduler_v1.CloudSchedulerClient)

    def state(self) -> ResourceState:
        current = self._find()
        if current is None:
            return "missing"
        return "changed" if changed_fields(current, self._desired()) or current.state == PAUSED else "present"

    def make(self) -> None:
        current, desired = self._find(), self._desired()
        if current is None:
            self._client.create_job(parent=location_name(self._backend), job=desired)
        elif current.state == PAUSED:
            self._client.resume_job(name=self._name)
        if current and (fields := changed_fields(current, desired)):
            self._client.update_job(job=desired, update_mask={"paths": fields})

    def remove(self) -> bool:
        self._client.delete_job(name=self._name)
        return True

    def _find(self) -> scheduler_v1.Job | None:
        return get_or_none(self._client.get_job, name=self._name)

    def _desired(self) -> scheduler_v1.Job:
        return scheduler_v1.Job(
            name=self._name,
            description=f"banditloop {self._backend.endpoint}: starts the {self._functions}",
            schedule=f"*/{self._minutes} * * * *",
            time_zone="Etc/UTC",
            pubsub_target={"topic_name": self._topic.name, "data": b"{}"},
        )
