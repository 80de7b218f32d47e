"""The backend section: the platform that the loop runs on, and its location there."""

import re
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from banditloop.rl_core.settings.section import PathText, Section

Target = Literal["vertex", "kfp", "local"]
HOST = r"(?!localhost[:/])[\w-]+(\.[\w-]+)*(\.[\w-]+|:\d+)"
PINNED_IMAGE = re.compile(rf"{HOST}/[\w./-]+(:(?!latest$)[\w.-]+|(:[\w.-]+)?@sha256:[0-9a-f]{{64}})")
IMAGE_HINT = "name one in a registry, by its digest (host/name@sha256:…) or by a tag that is not latest"


def is_pinned(image: str) -> bool:
    """Whether an image name has a registry, and a digest or a tag other than latest."""
    return PINNED_IMAGE.fullmatch(image) is not None


class Backend(Section):
    """Settings shared by all backends, and constants through which backends differ for other modules."""

    CONNECT: ClassVar[str]  # module:function, from a Config to its Platform
    RUNNERS: ClassVar[tuple[Target, ...]] = ("local",)  # where pipelines of this backend can run
    PUBLISH_SECONDS: ClassVar[float] = 0.1  # default of bus.publish_seconds
    FOLLOW_SECONDS: ClassVar[float] = 0.1  # between two reads of the release by a serving process
    TRAINS_REMOTELY: ClassVar[bool] = False  # whether it supports the [training] section

    name: str
    endpoint: str = Field("movielens", pattern=r"^[a-z][a-z0-9-]{0,62}$", description="name of the endpoint")

    def container_image(self) -> str:
        """Image of the pipeline tasks; empty if they run in this Python environment."""
        return ""

    def refuses_custom_jobs(self) -> bool:
        """Whether tasks of its pipelines cannot wait for a custom job that trains."""
        return False

    def process_folder(self) -> Path | None:
        """Folder for the logs of the processes that `banditloop serve` runs; None where the platform runs them."""
        return None


class LocalBackend(Backend):
    """Everything on one machine, in files."""

    CONNECT = "banditloop.rl_core.backends.local:connect"

    name: Literal["local"] = "local"
    root: PathText = Field("build/loop", description="folder of the warehouse, bus, endpoints and runs")

    def process_folder(self) -> Path:
        """The backend's root."""
        return Path(self.root)


class GoogleBackend(Backend):
    """BigQuery, Pub/Sub, Cloud Storage and Vertex AI."""

    CONNECT = "banditloop.rl_core.backends.google:connect"
    RUNNERS = ("vertex", "kfp", "local")
    PUBLISH_SECONDS = 2.0  # the logger runs every few minutes
    FOLLOW_SECONDS = 2.0  # each look is a billed read of the bucket
    TRAINS_REMOTELY = True

    name: Literal["google"] = "google"
    project: str = Field(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$", description="project id")
    location: str = Field("us-central1", pattern=r"^[a-z]+-[a-z]+[0-9]+$", description="region of all resources")
    bucket: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", description="Cloud Storage bucket of policies and runs"
    )
    dataset: str = Field("banditloop", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,1023}$", description="BigQuery dataset")
    image: str = Field(description="container image of components, predictor and functions, preferably by digest")
    functions: Literal["cloud-functions", "cloud-run"] = Field(
        "cloud-functions",
        description="how simulator, logger, trigger and monitor are deployed: cloud-functions (Cloud Functions, which "
        "Google builds from source) or cloud-run (Cloud Run services of the image, where nothing is built)",
    )
    split: Literal["container", "vertex"] = Field(
        "container",
        description="what splits the traffic: container (one deployment follows the release) or vertex (Vertex AI, "
        "between a deployment per version: without sticky users, shadows and known shares)",
    )
    dedicated_endpoint: bool = Field(
        False, description="make a dedicated endpoint: requests of up to 10 MB, instead of 1.5 MB"
    )
    serving_machine_type: str = Field("n1-standard-2", description="machine type that serves")
    min_replicas: int = Field(1, ge=1, le=1000, description="minimum number of serving replicas per deployment")
    max_replicas: int = Field(3, ge=1, le=1000, description="maximum number of serving replicas per deployment")
    service_account: str = Field(
        "",
        pattern=r"^([^@\s]+@[^@\s]+)?$",
        max_length=253,
        description="email of the service account that pipelines and served versions run as; "
        "empty: ENDPOINT-pipelines, created by `banditloop cloud up`",
    )
    logger_minutes: int = Field(
        5,
        ge=0,
        le=30,
        description="minutes between two runs of the logger function: few, and events are logged soon; many cost less; "
        "0: it never runs, you keep `python -m banditloop.functions.logger` running",
    )
    tensorboard: str = Field(
        "",
        pattern=r"^(projects/[^/]+/locations/[^/]+/tensorboards/[0-9]+)?$",
        description="resource name of the Vertex AI TensorBoard that shows curves of on-policy training; empty: none",
    )
    runner: Target = Field(
        "vertex",
        description="where pipelines run: vertex (Vertex AI), kfp (Kubeflow Pipelines) or local (this machine)",
    )
    kfp_host: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        validate_default=True,
        description="URL of the Kubeflow Pipelines API, for the runner kfp",
    )

    def container_image(self) -> str:
        """The configured image."""
        return self.image

    def refuses_custom_jobs(self) -> bool:
        """Whether Kubeflow Pipelines run the tasks, whose files a custom job of Vertex AI would not see."""
        return self.runner == "kfp"

    def account_email(self, name: str) -> str:
        """Email of a service account created by `banditloop cloud up`."""
        return f"{self.endpoint}-{name}@{self.project}.iam.gserviceaccount.com"

    def service_account_email(self) -> str:
        """Email of the service account that pipelines and served versions run as."""
        return self.service_account or self.account_email("pipelines")

    @field_validator("kfp_host")
    @classmethod
    def _check_kfp_host(cls, url: str, info: ValidationInfo) -> str:
        if info.data.get("runner") == "kfp" and not url:
            raise ValueError("the runner kfp needs the URL of a Kubeflow Pipelines API, as https://pipelines.example")
        return url

    @field_validator("image")
    @classmethod
    def _check_image(cls, image: str) -> str:
        if not is_pinned(image):
            raise ValueError(IMAGE_HINT)
        return image


BACKENDS: dict[str, type[Backend]] = {"local": LocalBackend, "google": GoogleBackend}
