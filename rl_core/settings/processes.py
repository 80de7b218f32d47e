"""The config sections of the services: predictor, bus and logger, and of the image that they run in."""

from typing import Annotated

from pydantic import Field

from banditloop.rl_core.settings.section import Line, Section


class ServingSection(Section):
    """Address of the predictor (on Vertex AI, the platform sets it), and its processes."""

    host: Line = Field(
        "127.0.0.1", max_length=253, description="address that the predictor, and the logger's metrics, bind to"
    )
    port: int = Field(0, ge=0, le=65535, description="port of the predictor; 0: any free port")
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="processes that answer on the predictor's port, to use as many cores; each takes as much memory "
        "as the predictor",
    )
    cors_origins: list[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")]] = Field(
        [], description="origins whose web pages may call the predictor, as https://shop.example; '*': all"
    )


class BusSection(Section):
    """Transport of events from the predictor to the logger."""

    publish_seconds: float = Field(
        0.1,
        gt=0,
        le=60.0,
        description="seconds that events are buffered before they are published; "
        "on Google Cloud 2 by default, since there the logger runs every few minutes",
    )
    lease_seconds: float = Field(
        10.0, gt=0, le=600.0, description="seconds until an unacknowledged message is redelivered"
    )


class LoggingSection(Section):
    """Which decisions are logged, and the logger's own metrics."""

    sample_rate: float = Field(
        1.0, gt=0, le=1, description="fraction of decisions logged, chosen by the hash of their event ids"
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="port of the logger's Prometheus metrics on one machine; 0: none"
    )


class ImageSection(Section):
    """The container image of components, predictor and functions."""

    packages: list[Annotated[str, Field(pattern=r"^[^\s'\"$`;&|]+$")]] = Field(
        [], description="packages with parts of your own that `make image CONFIG=FILE` installs, as pip names them"
    )
