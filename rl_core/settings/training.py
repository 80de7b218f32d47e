"""The training section: how many tasks train at a time, and the machines of these on remote backends."""

from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from banditloop.rl_core.settings.section import Section


class TrainingSection(Section):
    """Shards; on Vertex AI or Kubeflow Pipelines resources of the tasks that train, or of a custom job that does."""

    shards: int = Field(
        1,
        ge=1,
        le=1000,
        description="tasks of startup and retraining that each export and add up a part of the interactions at a time; "
        "compile the pipelines again after a change",
    )
    cpus: int = Field(0, ge=0, le=1000, description="CPUs of each task that trains; 0: the platform's default")
    memory_gb: float = Field(
        0.0, ge=0, le=10_000.0, description="memory of each task that trains in GB; 0: the platform's default"
    )
    accelerator: str = Field(
        "", pattern=r"^[\w./-]*$", description="accelerator type, as NVIDIA_TESLA_T4; empty: no accelerator"
    )
    accelerator_count: int = Field(1, ge=1, le=16, description="accelerators per machine")
    machine_type: str = Field(
        "",
        pattern=r"^([a-z0-9]+(-[a-z0-9]+)+)?$",
        description="machine type of a Vertex AI custom job that trains; empty: the trainer's task trains itself",
    )
    replicas: int = Field(
        1, ge=1, le=1000, description="machines of the custom job; each trains on a shard of the files"
    )
    spot: bool = Field(
        False, description="run the custom job on spot machines: cheaper, preemptible, resumed from checkpoints"
    )

    @field_validator("replicas", "spot")
    @classmethod
    def _check_custom_job(cls, value: Any, info: ValidationInfo) -> Any:
        if value > cls.model_fields[str(info.field_name)].default and info.data.get("machine_type") == "":
            raise ValueError("needs a custom job: give training.machine_type, as n1-standard-4")
        return value
