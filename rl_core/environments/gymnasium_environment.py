"""Gymnasium's environments with discrete actions, played one step at a time as a bandit."""

import importlib
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.arguments import Arguments
from banditloop.rl_core.environments.environment import Environment
from banditloop.rl_core.environments.synthetic import OBSERVATION, vector_task
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.reward_range import RewardBounds
from banditloop.rl_core.settings.task import Task

SEED = "_seed"  # a hidden column: the reward repeats from it how the observation was drawn
MAX_SEED = 2**31


class GymnasiumEnvironment(Environment):
    """One step of a Gymnasium environment: the context is the flattened observation of a state, the reward the step's.

    A seed leads to the state: `reset` with it, then up to `warm_up_steps` random actions that it draws. For a reward
    the same is played again and the action added, which is a pure function as long as Gymnasium's environment draws all
    its randomness from the seed of `reset`.
    """

    name: Literal["gymnasium"] = "gymnasium"
    id: str = Field(min_length=1, description="Gymnasium's id of the environment, as CartPole-v1")
    arguments: Arguments = Field({}, description="keyword arguments of the environment, for gymnasium.make")
    warm_up_steps: int = Field(0, ge=0, le=10_000, description="largest number of random actions before a context")
    reward_range: RewardBounds = Field([0.0, 1.0], description="smallest and largest reward of a step")

    @property
    def task(self) -> Task:
        environment, spaces = self._gymnasium
        return vector_task(
            spaces.flatdim(environment.observation_space), int(environment.action_space.n), *self.reward_range
        )

    def observe(self, batch: int, random: np.random.Generator) -> Contexts:
        environment, spaces = self._gymnasium
        seeds = random.integers(MAX_SEED, size=batch)
        states = [spaces.flatten(environment.observation_space, self._reach(int(seed))) for seed in seeds]
        return {OBSERVATION: np.array(states, np.float32), SEED: seeds}

    def reward(self, contexts: Contexts, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        environment, _ = self._gymnasium
        start, rewards = int(environment.action_space.start), []
        for seed, action in zip(contexts[SEED], actions, strict=True):
            self._reach(int(seed))
            rewards.append(float(environment.step(int(action) + start)[1]))
        return np.array(rewards)

    def _reach(self, seed: int) -> Any:
        """Bring the environment into the seed's state, and return its observation."""
        environment, _ = self._gymnasium
        random = np.random.default_rng(seed)
        observation, _ = environment.reset(seed=seed)
        space = environment.action_space
        for _ in range(random.integers(self.warm_up_steps + 1)):
            observation, _, terminated, truncated, _ = environment.step(int(space.start + random.integers(space.n)))
            if terminated or truncated:
                observation, _ = environment.reset(seed=seed)
        return observation

    @cached_property
    def _gymnasium(self) -> tuple[Any, Any]:
        """The environment, and Gymnasium's module of spaces."""
        gymnasium = imported_gymnasium()
        environment = make_environment(self.id, self.arguments)
        if not isinstance(environment.action_space, gymnasium.spaces.Discrete):
            raise InvalidInput(
                f"environment.id = {self.id!r}: its actions are not discrete: {environment.action_space}"
            )
        return environment, gymnasium.spaces


def imported_gymnasium() -> Any:
    """The package. InvalidInput: it is not installed."""
    try:
        return importlib.import_module("gymnasium")
    except ImportError:
        raise InvalidInput("environment: the package gymnasium is not installed; pip install gymnasium") from None


def make_environment(id: str, arguments: dict[str, Any]) -> Any:
    """The environment of an id. InvalidInput: there is none, or it does not take the arguments."""
    gymnasium = imported_gymnasium()
    try:
        return gymnasium.make(id, **arguments)
    except (gymnasium.error.Error, TypeError) as error:
        raise InvalidInput(f"environment.id = {id!r}: {error}") from None
