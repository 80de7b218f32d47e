"""Config: one object that travels from TOML through pipeline parameters to components and functions."""

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SerializeAsAny, field_validator

from rl_core.agents import AGENTS, Additive, Agent
from rl_core.backend import BACKENDS, Backend, GoogleBackend, LocalBackend
from rl_core.environments import ENVIRONMENTS, Environment
from rl_core.errors import InvalidInput
from rl_core.schema import ACTIVATION
from rl_core.sections import Section, registered

REGISTRIES: dict[str, Mapping[str, type[Any]]] = {"backend": BACKENDS, "environment": ENVIRONMENTS, "agent": AGENTS}
LOCAL = "local"  # the backend where none is named
ENVIRONMENT_VARIABLE = "BANDITLOOP_CONFIG"
YEAR = 366 * 24 * 3600.0


class RewardSection(Section):
    """How rewards join the decisions they belong to."""

    name: str = Field("reward", min_length=1, description="which reward trains; others are kept")
    window_seconds: float = Field(10.0, gt=0, le=YEAR, description="a reward counts this long after its decision")
    default: float = Field(0.0, description="reward of a decision that got none within the window")
    aggregation: Literal["first", "last", "sum", "mean", "max", "min"] = Field(
        "first", description="what several rewards of one decision come to"
    )

    @field_validator("name")
    @classmethod
    def _is_no_activation(cls, name: str) -> str:
        if name == ACTIVATION:
            raise ValueError("this name activates deferred decisions; give another")
        return name


class LogSection(Section):
    """What of the traffic is logged."""

    sample: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of decisions that are logged, by the hash of their ids; each stands for more",
    )


class PolicySection(Section):
    """What every served policy does besides following its agent."""

    exploration: float = Field(
        0.05, gt=0, le=1, description="share of decisions drawn uniformly, so that the next policy can be evaluated"
    )


class GateSection(Section):
    """What a candidate must show before it takes the champion's place."""

    held_out: float = Field(0.1, gt=0, le=0.5, description="share of interactions kept from training, to evaluate on")
    alpha: float = Field(0.05, gt=0, lt=1, description="probability of ever promoting a line of candidates none better")
    margin: float = Field(
        0.0, ge=0, lt=1, description="how much less than the champion may be earned, as a share of the reward's range"
    )


class ReleaseSection(Section):
    """How a candidate on thin evidence competes with the champion, and what ends that."""

    canary: int = Field(
        20, ge=0, le=99, description="percent of the traffic that it answers; 0: a shadow, logged but not shown"
    )
    look: int = Field(50, ge=1, description="interactions from one look at the evidence to the next")
    max_failures: float = Field(0.01, ge=0, le=1, description="share of its answers that may fail")
    max_milliseconds: float = Field(
        100.0, gt=0, description="time that 95 % of its answers may take, or twice what the champion takes"
    )


class TriggerSection(Section):
    """When retraining is submitted: whichever comes first."""

    min_interactions: int = Field(500, ge=1, description="new interactions that start a retraining")
    interval_seconds: float = Field(
        3600.0, gt=0, le=YEAR, description="time that starts one, if anything at all is new"
    )
    template: str = Field("build/pipelines/retraining.yaml", description="the compiled retraining pipeline")


class Config(Section):
    """Everything a loop is made of. Sections not given take their defaults."""

    backend: SerializeAsAny[Backend] = LocalBackend()
    environment: SerializeAsAny[Environment]
    agent: SerializeAsAny[Agent]
    policy: PolicySection = PolicySection()
    reward: RewardSection = RewardSection()
    log: LogSection = LogSection()
    gate: GateSection = GateSection()
    release: ReleaseSection = ReleaseSection()
    trigger: TriggerSection = TriggerSection()

    @classmethod
    def parse(cls, values: Any, place: str = "") -> Self:
        """The config of a nested mapping (a pipeline parameter, say)."""
        if isinstance(values, Mapping):
            values = dict(values)
            if isinstance(backend := values.get("backend", {}), Mapping):
                values["backend"] = {"name": LOCAL} | dict(backend)
            for key, registry in REGISTRIES.items():
                values[key] = registered(registry, values.get(key), key)
        config = super().parse(values, place)
        config._check_replicas()
        return config

    def _check_replicas(self) -> None:
        replicas = self.backend.trainer_replicas if isinstance(self.backend, GoogleBackend) else 1
        if replicas > 1 and not isinstance(self.agent, Additive):
            raise InvalidInput(
                f"backend.trainer_replicas = {replicas}: {self.agent.name} trains on one machine, "
                f"for what it learns from shares of the interactions does not add up; give 1"
            )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The config of a TOML or JSON file."""
        try:
            text = Path(path).read_text()
        except OSError as error:
            raise InvalidInput(f"config {path}: {error.strerror}; give the path of a TOML or JSON file") from None
        except UnicodeDecodeError as error:
            raise InvalidInput(f"config {path}: {error}") from None
        return cls._read(text, str(path), json.loads if str(path).endswith(".json") else tomllib.loads)

    @classmethod
    def from_environment(cls) -> Self:
        """The config that $BANDITLOOP_CONFIG holds as JSON, or names as a file."""
        value = os.environ.get(ENVIRONMENT_VARIABLE, "")
        if value.lstrip().startswith("{"):
            return cls._read(value, f"${ENVIRONMENT_VARIABLE}", json.loads)
        if not value:
            raise InvalidInput(f"${ENVIRONMENT_VARIABLE} is not set; give a config as JSON or the path of its file")
        return cls.load(value)

    @classmethod
    def _read(cls, text: str, place: str, reader: Callable[[str], Any]) -> Self:
        try:
            values = reader(text)
        except ValueError as error:
            raise InvalidInput(f"config {place}: {error}") from None
        return cls.parse(values)

    def to_dict(self) -> dict[str, Any]:
        """The plain mapping that `parse` reads back equal."""
        return self.model_dump(mode="json", exclude_none=True)  # KFP knows no null
