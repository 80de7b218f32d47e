"""The backend section: which platform holds the loop, and where on it."""

import re
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from rl_core.sections import Section

Target = Literal["vertex", "kfp", "local"]
HOST = r"(?!localhost[:/])[\w-]+(\.[\w-]+)*(\.[\w-]+|:\d+)"
PINNED = re.compile(rf"{HOST}/[\w./-]+(:(?!latest$)[\w.-]+|(:[\w.-]+)?@sha256:[0-9a-f]{{64}})")
WHAT_IMAGE = "name one in a registry, by its digest (host/name@sha256:…) or by a tag that is not latest"


def pinned(image: str) -> bool:
    """Whether an image's name says where other machines find it, and which one it is."""
    return PINNED.fullmatch(image) is not None


class Backend(Section):
    """What every backend is told."""

    name: str
    endpoint: str = Field("movielens", pattern=r"^[a-z][a-z0-9-]{0,62}$", description="the one endpoint's name")
    host: str = Field("127.0.0.1", description="address the endpoint binds to")
    port: int = Field(0, ge=0, le=65535, description="port of the endpoint; 0 takes a free one")
    metrics_port: int = Field(0, ge=0, le=65535, description="port where the logger tells Prometheus; 0: nowhere")
    publish_seconds: float = Field(0.1, gt=0, le=60.0, description="while events gather before they are published")
    lease_seconds: float = Field(10.0, gt=0, le=600.0, description="until a message not handled comes again")


class LocalBackend(Backend):
    """The embedded parts of one machine."""

    name: Literal["local"] = "local"
    root: str = Field("build/loop", description="folder of the warehouse, the bus, the endpoints and the runs")


class GoogleBackend(Backend):
    """BigQuery, Pub/Sub, Cloud Storage and Vertex AI."""

    name: Literal["google"] = "google"
    publish_seconds: float = Field(2.0, gt=0, le=60.0, description="and appended: each time costs a load job")
    project: str = Field(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$", description="project id")
    location: str = Field("us-central1", pattern=r"^[a-z]+-[a-z]+[0-9]+$", description="region of everything")
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", description="bucket of policies and runs")
    dataset: str = Field("banditloop", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,1023}$", description="BigQuery dataset")
    image: str = Field(description="image of the components, the predictor and the functions, best by its digest")
    machine: str = Field("n1-standard-2", description="machine type that a version is served on")
    replicas: int = Field(1, ge=1, le=1000, description="machines that a version is served on, at the least")
    most_replicas: int = Field(3, ge=1, le=1000, description="and at the most")
    trainer_cpus: int = Field(0, ge=0, le=1000, description="CPUs of the trainer's task; 0: what the platform gives")
    trainer_memory: float = Field(0.0, ge=0, le=10_000.0, description="and its memory, in GB")
    trainer_accelerator: str = Field(
        "", pattern=r"^[\w./-]*$", description="accelerator it trains with, as NVIDIA_TESLA_T4; empty: none"
    )
    trainer_accelerators: int = Field(1, ge=1, le=16, description="and how many of them")
    trainer_machine: str = Field(
        "",
        pattern=r"^([a-z0-9]+(-[a-z0-9]+)+)?$",
        description="machine type of a custom job that trains on Vertex AI; empty: the trainer's own task does",
    )
    trainer_replicas: int = Field(1, ge=1, le=1000, description="machines of that job, each with a share of the files")
    trainer_spot: bool = Field(False, description="whether they may be taken away, for a lower price, and come again")
    service_account: str = Field(
        "",
        description="account that pipelines and versions run as; empty: ENDPOINT-pipelines, of `banditloop cloud up`",
    )
    runner: Target = Field(
        "vertex", description="where pipelines run: vertex; kfp, on Kubeflow Pipelines; local, on this machine"
    )
    kfp: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        validate_default=True,
        description="address of the Kubeflow Pipelines API that the runner kfp asks",
    )

    @field_validator("kfp")
    @classmethod
    def _is_there_where_it_is_asked(cls, address: str, others: ValidationInfo) -> str:
        if others.data.get("runner") == "kfp" and not address:
            raise ValueError(
                "the runner kfp needs the address of a Kubeflow Pipelines API, as https://pipelines.example"
            )
        return address

    @field_validator("trainer_replicas", "trainer_spot")
    @classmethod
    def _is_of_a_machine(cls, asked: int, others: ValidationInfo) -> int:
        if asked > cls.model_fields[str(others.field_name)].default and others.data.get("trainer_machine") == "":
            raise ValueError("is of a custom job, whose machine type trainer_machine names, as n1-standard-4")
        return asked

    def account(self, name: str) -> str:
        """The address of one of the service accounts that `banditloop cloud up` makes."""
        return f"{self.endpoint}-{name}@{self.project}.iam.gserviceaccount.com"

    def runs_as(self) -> str:
        """Whom pipelines and versions run as."""
        return self.service_account or self.account("pipelines")

    @field_validator("image")
    @classmethod
    def _pinned(cls, image: str) -> str:
        if not pinned(image):
            raise ValueError(WHAT_IMAGE)
        return image


BACKENDS: dict[str, type[Backend]] = {"local": LocalBackend, "google": GoogleBackend}
