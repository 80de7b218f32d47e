"""The rollouts section: where simulated episodes are played."""

from typing import Literal, Self

from pydantic import Field, model_validator

from banditloop.rl_core.settings.section import MAX_LINE, Section


class RolloutsSection(Section):
    """Where simulated episodes are played: by the process that needs them, or by the workers of a Ray cluster."""

    engine: Literal["process", "ray"] = Field(
        "process",
        description="'process': all episodes side by side, in the process that needs them; 'ray': divided over the "
        "workers of a Ray cluster, for environments with slow steps. Episodes are the same",
    )
    address: str = Field(
        "",
        pattern=r"^((ray://)?[^\s/:]+:\d{1,5})?$",
        max_length=MAX_LINE,
        description="address of a Ray cluster, as ray://head:10001, or head:6379 on one of its machines; "
        "empty: one is started on this machine for as long as it is needed",
    )
    workers: int = Field(
        0, ge=0, le=100_000, description="Ray workers that play at a time; 0: as many as the cluster has processors"
    )

    @model_validator(mode="after")
    def _check_engine(self) -> Self:
        """Settings of Ray go with its engine."""
        for name in ("address", "workers"):
            if self.engine != "ray" and getattr(self, name):
                raise ValueError(f"{name} is for engine = 'ray'; omit it, or choose that engine")
        return self
