"""Gymnasium's environments, played as the episodes that they are."""

from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.arguments import Arguments
from banditloop.rl_core.environments.episodic import MAX_STEPS, Episodes, EpisodicEnvironment, Steps
from banditloop.rl_core.environments.gymnasium_environment import imported_gymnasium, make_environment
from banditloop.rl_core.environments.synthetic import OBSERVATION, vector_task
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.reward_range import RewardBounds
from banditloop.rl_core.settings.task import Task


class GymnasiumEpisodes(EpisodicEnvironment):
    """A Gymnasium environment whose observations are flattened vectors, one object of it for each running episode.

    Actions are numbered: those of a discrete space, or the vectors of a grid in a space of real numbers. An episode is
    a function of its seed as long as Gymnasium's environment draws all its randomness from the seed of `reset`.
    """

    name: Literal["gymnasium_episodes"] = "gymnasium_episodes"
    id: str = Field(min_length=1, description="Gymnasium's id of the environment, as LunarLander-v3")
    arguments: Arguments = Field({}, description="keyword arguments of the environment, for gymnasium.make")
    max_steps: int = Field(
        1_000,
        ge=1,
        le=MAX_STEPS,
        description="steps after which an episode is cut off; Gymnasium's own limit holds, too",
    )
    action_grid: list[list[float]] = Field(
        [], description="the vectors to choose from, where actions are real numbers: action a is number a of them"
    )
    reward_range: RewardBounds = Field([0.0, 1.0], description="smallest and largest reward of a step")

    @property
    def task(self) -> Task:
        return vector_task(self.dim, len(self.grid), *self.reward_range)

    def reset(self, seeds: np.ndarray) -> Episodes:
        return GymnasiumEpisodesRunning(self, seeds)

    @cached_property
    def dim(self) -> int:
        """The length of a flattened observation."""
        return int(imported_gymnasium().spaces.flatdim(self._first.observation_space))

    @cached_property
    def grid(self) -> list[Any]:
        """Gymnasium's action for each action number."""
        space, spaces = self._first.action_space, imported_gymnasium().spaces
        if isinstance(space, spaces.Discrete) and not self.action_grid:
            return [int(space.start) + number for number in range(int(space.n))]
        if isinstance(space, spaces.Discrete):
            raise InvalidInput(f"environment.action_grid: {self.id}'s actions are discrete: {space}; omit it")
        if not isinstance(space, spaces.Box):
            raise InvalidInput(f"environment.id = {self.id!r}: its actions are neither numbers nor vectors: {space}")
        if len(self.action_grid) < 2:
            raise InvalidInput(f"environment.action_grid: is missing; give some of the actions of {self.id}: {space}")
        for vector in self.action_grid:
            if len(vector) != space.low.size or not space.contains(_action(space, vector)):
                raise InvalidInput(f"environment.action_grid: {vector} is no action of {self.id}: {space}")
        return [_action(space, vector) for vector in self.action_grid]

    def take(self) -> Any:
        """An idle environment, or a new one if none is."""
        return self._idle.pop() if self._idle else make_environment(self.id, self.arguments)

    def give_back(self, environment: Any) -> None:
        """Keep the environment of an episode that is over for reuse: some take long to make."""
        self._idle.append(environment)

    @cached_property
    def _first(self) -> Any:
        return make_environment(self.id, self.arguments)

    @cached_property
    def _idle(self) -> list[Any]:
        return []


class GymnasiumEpisodesRunning(Episodes):
    """Episodes in environments of their own."""

    def __init__(self, environment: GymnasiumEpisodes, seeds: np.ndarray) -> None:
        self._environment, self._step = environment, 0
        self._running = dict(enumerate(environment.take() for _ in seeds))
        self._observations = np.empty((len(seeds), environment.dim), np.float32)
        for row, running in self._running.items():
            self._observe(row, running.reset(seed=int(seeds[row]))[0])

    @property
    def contexts(self) -> Contexts:
        return {OBSERVATION: self._observations.copy()}

    def step(self, actions: np.ndarray) -> Steps:
        rewards, terminal, truncated = np.zeros(len(actions)), *np.zeros((2, len(actions)), bool)
        self._step += 1
        for row, running in list(self._running.items()):
            action = self._environment.grid[int(actions[row])]
            observation, rewards[row], terminal[row], truncated[row], _ = running.step(action)
            self._observe(row, observation)
        truncated[list(self._running)] |= self._step >= self._environment.max_steps
        truncated &= ~terminal
        for row in np.flatnonzero(terminal | truncated).tolist():
            self._environment.give_back(self._running.pop(row))
        return Steps(rewards, terminal, truncated)

    def _observe(self, row: int, observation: Any) -> None:
        space = self._running[row].observation_space
        self._observations[row] = imported_gymnasium().spaces.flatten(space, observation)


def _action(space: Any, vector: list[float]) -> np.ndarray:
    return np.array(vector, space.dtype).reshape(space.shape)
