"""An environment whose rewards come late."""

from typing import Any, Literal, cast

import numpy as np
from pydantic import Field, SerializeAsAny, field_validator

from banditloop.rl_core.environments import ENVIRONMENTS
from banditloop.rl_core.environments.environment import Environment
from banditloop.rl_core.environments.noise import exponentials
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.registry import registered
from banditloop.rl_core.settings.task import Task


class Delayed(Environment):
    """Another environment whose rewards come after exponentially distributed delays, besides its own."""

    name: Literal["delayed"] = "delayed"
    environment: SerializeAsAny[Environment] = Field(description="the environment that is delayed, with its own keys")
    mean_seconds: float = Field(5.0, gt=0, le=1e6, description="mean number of seconds until a reward comes")

    @field_validator("environment", mode="before")
    @classmethod
    def _find_environment(cls, values: Any) -> Environment:
        return cast(Environment, registered(ENVIRONMENTS, Environment, values, "environment"))

    @property
    def task(self) -> Task:
        return self.environment.task

    def observe(self, batch: int, random: np.random.Generator) -> Contexts:
        return self.environment.observe(batch, random)

    def reward(self, contexts: Contexts, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        return self.environment.reward(contexts, actions, event_ids)

    def candidates(self, contexts: Contexts, random: np.random.Generator) -> list[list[str]] | None:
        return self.environment.candidates(contexts, random)

    def action_features(self) -> list[dict[str, Any]] | None:
        return self.environment.action_features()

    def delays(self, event_ids: list[str]) -> np.ndarray:
        delays, own = self.mean_seconds * exponentials(event_ids), self.environment.delays(event_ids)
        return delays if own is None else delays + own

    def population(self) -> Contexts | None:
        return self.environment.population()

    def expected_rewards(self) -> np.ndarray | None:
        return self.environment.expected_rewards()
