"""Adapter from an EpisodicEnvironment to TF-Agents, for its drivers, agents and metrics. Imports TensorFlow."""

import itertools
from typing import Any

import numpy as np

import banditloop.rl_core.tf  # noqa: F401  (configures TensorFlow before TF-Agents imports it)

# isort: split
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step

from banditloop.rl_core.environments.episodic import Episodes, EpisodicEnvironment, episode_seeds
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.feature_kinds import Kind, Vector


class EpisodicPyEnvironment(py_environment.PyEnvironment):
    """An unbatched PyEnvironment that plays one episode after another, those of the run with a seed.

    Observations are float32 vectors [dim] of the task's numbers, booleans and vectors, in its order; actions int32.
    The last time step of an episode that was cut off has the discount 1. TF-Agents' BatchedPyEnvironment plays several.

    Raises:
        InvalidInput: a feature is none of these, or the actions are not numbered.
    """

    def __init__(self, environment: EpisodicEnvironment, seed: int) -> None:
        task = environment.task
        lengths = [_length(kind) for kind in task.context.values()]
        if not isinstance(task.actions, int) or 0 in lengths:
            raise InvalidInput(
                f"environment.name = {environment.name!r}: TF-Agents needs numbers or vectors and a number of actions"
            )
        self._environment, self._names = environment, list(task.context)
        self.seed(seed)
        self._episode: Episodes | None = None
        self._specs = (
            array_spec.ArraySpec((sum(lengths),), np.float32, "observation"),
            array_spec.BoundedArraySpec((), np.int32, 0, task.actions - 1, "action"),
        )
        super().__init__(handle_auto_reset=True)

    def observation_spec(self) -> Any:
        return self._specs[0]

    def action_spec(self) -> Any:
        return self._specs[1]

    def seed(self, seed: int) -> None:
        """From the next reset on, play the episodes of the run with another seed, from the first on."""
        self._seed, self._numbers = seed, itertools.count()

    def _reset(self) -> Any:
        self._episode = self._environment.reset(episode_seeds(self._seed, next(self._numbers), 1))
        return time_step.restart(self._observe(self._episode))

    def _step(self, action: Any) -> Any:
        assert self._episode is not None  # step resets before the first
        rewards, [terminal], [truncated] = self._episode.step(np.array([action]))
        observation, reward = self._observe(self._episode), np.float32(rewards[0])
        if terminal:
            return time_step.termination(observation, reward)
        return time_step.truncation(observation, reward) if truncated else time_step.transition(observation, reward)

    def _observe(self, episode: Episodes) -> np.ndarray:
        contexts = episode.contexts
        return np.concatenate([np.ravel(np.asarray(contexts[name], np.float32)) for name in self._names])


def _length(kind: Kind) -> int:
    """The length of a feature in an observation; 0: it cannot be in one."""
    return kind.vector if isinstance(kind, Vector) else int(kind in ("number", "boolean"))
