"""Config: the one configuration object, read from TOML or JSON and passed on in pipeline parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import SerializeAsAny

from banditloop.rl_core.agents import Agent, SequentialAgent, mergeable
from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.config_defaults import REGISTRIES, completed
from banditloop.rl_core.environments import EpisodicEnvironment, Simulated
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.backend import Backend, LocalBackend
from banditloop.rl_core.settings.config_values import path_from_environment, read_values, values_from_environment
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.examples import ExamplesSection
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
from banditloop.rl_core.settings.rollouts import RolloutsSection
from banditloop.rl_core.settings.search_space import Dimension, check_space, dimensions
from banditloop.rl_core.settings.section import Section
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.settings.training import TrainingSection
from banditloop.rl_core.settings.tuning import TuningSection


class Config(Section):
    """The complete configuration of a loop. Omitted sections have their defaults."""

    backend: SerializeAsAny[Backend] = LocalBackend()
    task: Task
    environment: SerializeAsAny[Simulated] | None = None
    agent: SerializeAsAny[Agent] = LinearThompson()
    policy: PolicySection = PolicySection()
    reward: RewardSection = RewardSection()
    episodes: EpisodesSection | None = None
    rollouts: RolloutsSection = RolloutsSection()
    serving: ServingSection = ServingSection()
    bus: BusSection = BusSection()
    logging: LoggingSection = LoggingSection()
    image: ImageSection = ImageSection()
    examples: ExamplesSection = ExamplesSection()
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
            values = completed(values)
        config = super().parse(values, where)
        config._check_episodes()
        config._check_training()
        config._check_default_reward()
        config._check_search_space()
        return config

    def _check_episodes(self) -> None:
        """Agent, environment and log must all be sequential, or none of them."""
        learns_from = f"agent.name = {self.agent.name!r}: learns from"
        if self.episodes is None:
            if isinstance(self.agent, SequentialAgent):
                raise InvalidInput(f"{learns_from} episodes; add the section episodes, empty for defaults")
            if self.rollouts.engine != "process":
                raise InvalidInput(f"rollouts.engine = {self.rollouts.engine!r}: plays episodes; without them, omit it")
            return
        if not isinstance(self.agent, SequentialAgent):
            raise InvalidInput(f"{learns_from} single decisions; give one for episodes, as 'dqn'")
        if (environment := self.environment) and not isinstance(environment, EpisodicEnvironment):
            raise InvalidInput(f"environment.name = {environment.name!r}: has no episodes; omit the section episodes")
        if environment and self.episodes.rewards and self.reward.name not in self.episodes.rewards:
            raise InvalidInput(
                f"episodes.rewards: lacks {self.reward.name!r}, which the environment pays; give its weight"
            )
        if self.logging.sample_rate < 1:
            raise InvalidInput(f"logging.sample_rate = {self.logging.sample_rate}: episodes are logged whole; give 1.0")
        if self.reward.default == "ignore":
            raise InvalidInput("reward.default = 'ignore': every step of an episode needs a reward; give one, as 0.0")

    @property
    def judged_reward(self) -> RewardSection | None:
        """The section `reward` if each reward must be in the task's range; None if only weighted sums must be."""
        return None if self.episodes and self.episodes.rewards else self.reward

    def _check_training(self) -> None:
        if not self.backend.TRAINS_REMOTELY:
            for key, value in self.training.model_dump(exclude_defaults=True, exclude={"shards"}).items():
                raise InvalidInput(
                    f"training.{key} = {value!r}: the backend {self.backend.name!r} trains on this machine; omit it"
                )
        if (machine := self.training.machine_type) and self.backend.refuses_custom_jobs():
            raise InvalidInput(f"training.machine_type = {machine!r}: Kubeflow Pipelines' own tasks train; omit it")
        for key in ("replicas", "shards"):
            if (count := getattr(self.training, key)) > 1 and not mergeable(self.agent):
                raise InvalidInput(
                    f"training.{key} = {count}: {self.agent.name} trains on one machine, since its statistics of "
                    "several shards cannot be merged; give 1"
                )
        if (shards := self.training.shards) > 1 and machine:
            raise InvalidInput(
                f"training.shards = {shards}: the pipeline's own tasks train; omit training.machine_type"
            )

    def _check_default_reward(self) -> None:
        default, (low, high) = self.reward.default, self.task.rewards
        if default != "ignore" and not low <= default <= high:
            raise InvalidInput(f"reward.default = {default}: is outside task.reward_range, {low:g} to {high:g}")

    @property
    def other_rewards(self) -> list[str]:
        """The names of the rewards besides reward.name that the section episodes weighs or evaluates."""
        names = self.episodes.value_names(self.reward.name) if self.episodes else []
        return [name for name in names if name != self.reward.name]

    @property
    def max_steps(self) -> int | None:
        """The most steps of an episode; None without the section episodes."""
        return self.episodes.max_steps if self.episodes else None

    @property
    def learns_from_log(self) -> bool:
        """Whether the agent learns from the log, and not only from episodes of its own policy, in an environment."""
        return not isinstance(self.agent, SequentialAgent) or self.agent.LEARNS_FROM_LOG

    def search_space(self) -> list[Dimension]:
        """The settings to tune. InvalidInput: an agent is unknown, or a setting is for an agent that is not tried."""
        agents: dict[str, type[Section]] = {}
        for name in self.tuning.agent_names or [self.agent.name]:
            own = self.agent if name == self.agent.name else None
            try:
                part = own or registered(*REGISTRIES["agent"], {"name": name}, "agent")
            except InvalidInput as error:
                raise InvalidInput(f"tuning.search_space.{error}") from None
            agents[name] = type(part)
        return dimensions(self.tuning, agents)

    def _check_search_space(self) -> None:
        objective, on_log = self.tuning.objective, self.tuning.objective == "log"
        if self.tuning.search_space.on_policy and (on_log or not (objective == "on_policy" or self.episodes)):
            raise InvalidInput(f"tuning.search_space.on_policy: is not tried by {objective = !r}; give 'on_policy'")
        if on_log and self.tuning.search_space.policy:
            raise InvalidInput(
                "tuning.search_space.policy: a log shows what exploration costs, not what it teaches; tune it with "
                "objective = 'simulation'"
            )
        if self.environment is None and not on_log:
            raise InvalidInput(f"tuning.{objective = !r}: needs an environment; add one, or give 'log'")
        if list(self.tuning.parameters()):
            check_space(self.search_space(), self.to_dict() | {"tuning": {}}, type(self).parse)

    def _check_environment(self) -> None:
        """A task beside an environment may have another range of rewards, but must be about the same decisions."""
        if self.environment is None:
            return
        for key in ("actions", "context", "action_features"):
            own, supplied = getattr(self.task, key), getattr(self.environment.task, key)
            if own != supplied:
                raise InvalidInput(
                    f"task.{key}: contradicts that of the environment {self.environment.name!r}; omit it"
                )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The config in a TOML or JSON file. Relative paths in it are taken from the file's folder.

        Raises:
            InvalidInput: it cannot be read, or a value is invalid.
        """
        values, folder = read_values(path), Path(path).absolute().parent
        if isinstance(values, dict) and "environment" in values:  # first, since parsing may load its task
            environment = registered(*REGISTRIES["environment"], values["environment"], "environment")
            values["environment"] = environment.relative_to(folder)
        config = cls.parse(values).relative_to(folder)
        config._check_environment()
        return config

    @classmethod
    def from_environment(cls) -> Self:
        """The config in $BANDITLOOP_CONFIG: JSON, or the path of a file. InvalidInput: not set, or invalid."""
        path = path_from_environment()
        return cls.load(path) if path else cls.parse(values_from_environment())

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping from which `parse` makes an equal config."""
        return self.model_dump(mode="json", exclude_none=True)  # KFP has no null
