"""The training section: machines of the trainer, on backends that train remotely."""

from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from banditloop.rl_core.settings.section import Section


class TrainingSection(Section):
    """Resources of the trainer's task on Vertex AI or Kubeflow Pipelines, or of a Vertex AI custom job that trains."""

    cpus: int = Field(0, ge=0, le=1000, description="CPUs of the trainer's task; 0: the platform's default")
    memory_gb: float = Field(
        0.0, ge=0, le=10_000.0, description="memory of the trainer's task in GB; 0: the platform's default"
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
    def _check_custom_job(cls, value: Any, others: ValidationInfo) -> Any:
        if value > cls.model_fields[str(others.field_name)].default and others.data.get("machine_type") == "":
            raise ValueError("needs a custom job: give training.machine_type, as n1-standard-4")
        return value
