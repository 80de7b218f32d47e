"""Config: the one configuration object, read from TOML or JSON and passed on in pipeline parameters."""

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import SerializeAsAny

from banditloop.rl_core.agents import AGENTS, Agent, LinearThompson, mergeable
from banditloop.rl_core.environments import ENVIRONMENTS, Environment
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.backend import BACKENDS, Backend, LocalBackend
from banditloop.rl_core.settings.loop import (
    GateSection,
    PolicySection,
    ReleaseSection,
    RetrainingSection,
    RewardSection,
)
from banditloop.rl_core.settings.on_policy import OnPolicySection
from banditloop.rl_core.settings.processes import BusSection, ImageSection, LoggingSection, ServingSection
from banditloop.rl_core.settings.registry import registered
from banditloop.rl_core.settings.retention import RetentionSection
from banditloop.rl_core.settings.search_space import Dimension, check_space, dimensions
from banditloop.rl_core.settings.section import Section
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.settings.training import TrainingSection
from banditloop.rl_core.settings.tuning import TuningSection

REGISTRIES: dict[str, tuple[Mapping[str, type[Any]], type[Any]]] = {  # the parts by name, and their base class
    "backend": (BACKENDS, Backend),
    "environment": (ENVIRONMENTS, Environment),
    "agent": (AGENTS, Agent),
}
DEFAULT_BACKEND = "local"
ENVIRONMENT_VARIABLE = "BANDITLOOP_CONFIG"


class Config(Section):
    """The complete configuration of a loop. Omitted sections have their defaults."""

    backend: SerializeAsAny[Backend] = LocalBackend()
    task: Task
    environment: SerializeAsAny[Environment] | None = None
    agent: SerializeAsAny[Agent] = LinearThompson()
    policy: PolicySection = PolicySection()
    reward: RewardSection = RewardSection()
    serving: ServingSection = ServingSection()
    bus: BusSection = BusSection()
    logging: LoggingSection = LoggingSection()
    image: ImageSection = ImageSection()
    training: TrainingSection = TrainingSection()
    on_policy: OnPolicySection = OnPolicySection()
    retraining: RetrainingSection = RetrainingSection()
    gate: GateSection = GateSection()
    release: ReleaseSection = ReleaseSection()
    retention: RetentionSection = RetentionSection()
    tuning: TuningSection = TuningSection()

    @classmethod
    def parse(cls, values: Any, where: str = "") -> Self:
        """The config with the values of a nested mapping, as a pipeline parameter. InvalidInput: a value is invalid."""
        if isinstance(values, Mapping):
            values = dict(values)
            if isinstance(backend := values.get("backend", {}), Mapping):
                values["backend"] = {"name": DEFAULT_BACKEND} | dict(backend)
            for key, (registry, base) in REGISTRIES.items():
                if key in values:
                    values[key] = registered(registry, base, values[key], key)
            values["task"] = _task(values)
            if "agent" in values and isinstance(policy := values.get("policy", {}), Mapping):
                values["policy"] = {"exploration": values["agent"].EXPLORATION} | dict(policy)
            if isinstance(bus := values.get("bus", {}), Mapping):
                values["bus"] = {"publish_seconds": values["backend"].PUBLISH_SECONDS} | dict(bus)
        config = super().parse(values, where)
        config._check_training()
        config._check_default_reward()
        config._check_search_space()
        return config

    def _check_training(self) -> None:
        if not self.backend.TRAINS_REMOTELY:
            for key, value in self.training.model_dump(exclude_defaults=True).items():
                raise InvalidInput(
                    f"training.{key} = {value!r}: the backend {self.backend.name!r} trains on this machine; omit it"
                )
        if self.training.replicas > 1 and not mergeable(self.agent):
            raise InvalidInput(
                f"training.replicas = {self.training.replicas}: {self.agent.name} trains on one machine, "
                f"since its statistics of several shards cannot be merged; give 1"
            )

    def _check_default_reward(self) -> None:
        default, (low, high) = self.reward.default, self.task.rewards
        if default != "ignore" and not low <= default <= high:
            raise InvalidInput(f"reward.default = {default}: is outside task.reward_range, {low:g} to {high:g}")

    def search_space(self) -> list[Dimension]:
        """The settings to tune. InvalidInput: there is no agent of a name, or none to try has a setting."""
        agents: dict[str, type[Section]] = {}
        for name in self.tuning.agent_names or [self.agent.name]:
            try:
                part = (
                    self.agent if name == self.agent.name else registered(*REGISTRIES["agent"], {"name": name}, "agent")
                )
            except InvalidInput as error:
                raise InvalidInput(f"tuning.search_space.{error}") from None
            agents[name] = type(part)
        return dimensions(self.tuning, agents)

    def _check_search_space(self) -> None:
        on_log = self.tuning.objective == "log"
        if on_log and self.tuning.search_space.policy:
            raise InvalidInput(
                "tuning.search_space.policy: a log shows what exploration costs, not what it teaches; tune it with "
                "objective = 'simulation'"
            )
        if self.environment is None and not on_log:
            raise InvalidInput("tuning.objective = 'simulation': needs an environment; add one, or give 'log'")
        if list(self.tuning.parameters()):
            check_space(self.search_space(), self.to_dict() | {"tuning": {}}, type(self).parse)

    def _check_environment(self) -> None:
        """A task beside an environment may have another range of rewards, but must be about the same decisions."""
        if self.environment is None:
            return
        for key in ("actions", "context", "action_features"):
            own, supplied = getattr(self.task, key), getattr(self.environment.task, key)
            if own != supplied:
                name = self.environment.name
                raise InvalidInput(f"task.{key}: contradicts that of the environment {name!r}; omit it")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The config in a TOML or JSON file, whose relative paths belong to the file's folder.

        Raises:
            InvalidInput: it cannot be read, or a value is invalid.
        """
        values, folder = read_values(path), Path(path).absolute().parent
        if isinstance(values, dict) and "environment" in values:  # before parsing, which may ask it for its task
            environment = registered(*REGISTRIES["environment"], values["environment"], "environment")
            values["environment"] = environment.relative_to(folder)
        config = cls.parse(values).relative_to(folder)
        config._check_environment()
        return config

    @classmethod
    def from_environment(cls) -> Self:
        """The config in $BANDITLOOP_CONFIG: JSON, or the path of a file. InvalidInput: not set, or invalid."""
        value = os.environ.get(ENVIRONMENT_VARIABLE, "")
        return cls.load(value) if _is_path(value) else cls.parse(values_from_environment())

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping from which `parse` makes an equal config."""
        return self.model_dump(mode="json", exclude_none=True)  # KFP has no null


def _task(values: Mapping[str, Any]) -> Any:
    """The task of a config, or that of its environment: a config that travelled has both, and loads nothing."""
    if "task" in values:
        return values["task"] if isinstance(values["task"], Task) else Task.parse(values["task"], "task")
    if "environment" in values:
        return values["environment"].task
    raise InvalidInput("task: is missing; say what is decided, or name an environment, which does")


def read_values(path: str | Path) -> Any:
    """The values in a TOML or JSON file, not yet validated. InvalidInput: it cannot be read."""
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise InvalidInput(f"config {path}: {error.strerror}; give the path of a TOML or JSON file") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"config {path}: {error}") from None
    return _decode(text, str(path), json.loads if str(path).endswith(".json") else tomllib.loads)


def values_from_environment() -> Any:
    """The values in $BANDITLOOP_CONFIG (JSON, or the path of a file), not yet validated. InvalidInput: not set."""
    value = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if not value:
        raise InvalidInput(f"${ENVIRONMENT_VARIABLE} is not set; give a config as JSON or the path of its file")
    return read_values(value) if _is_path(value) else _decode(value, f"${ENVIRONMENT_VARIABLE}", json.loads)


def _is_path(value: str) -> bool:
    """Whether the variable's value names a file, and is not itself JSON."""
    return bool(value) and not value.lstrip().startswith("{")


def _decode(text: str, source: str, decoder: Callable[[str], Any]) -> Any:
    try:
        return decoder(text)
    except ValueError as error:
        raise InvalidInput(f"config {source}: {error}") from None
