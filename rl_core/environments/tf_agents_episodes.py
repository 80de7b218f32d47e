"""TF-Agents' environments of episodes as an EpisodicEnvironment. Imports TensorFlow, once its task or steps are needed.

(The other way round is tf_episodic_environment.)
"""

import contextlib
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.arguments import Arguments
from banditloop.rl_core.environments.episodic import MAX_STEPS, Episodes, EpisodicEnvironment, Steps
from banditloop.rl_core.environments.noise import hashes
from banditloop.rl_core.environments.synthetic import OBSERVATION, vector_task
from banditloop.rl_core.environments.tf_agents_environment import make_environment, seeded
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.reward_range import RewardBounds
from banditloop.rl_core.settings.task import Task


class TFAgentsEpisodes(EpisodicEnvironment):
    """A PyEnvironment of TF-Agents with observations that are vectors, and single whole numbers as actions.

    Every episode has an environment of its own, made by the factory, so that it is a function of its seed: Python's and
    NumPy's global generators are seeded while the environment is made and reset, and in each step; its method `seed` is
    called, if it has one. This holds for environments that draw all randomness from these. A last time step of discount
    0 is terminal, another one truncated.
    """

    name: Literal["tf_agents_episodes"] = "tf_agents_episodes"
    factory: str = Field(pattern=r"^[\w.]+:\w+$", description="module:function that returns an unbatched PyEnvironment")
    arguments: Arguments = Field({}, description="keyword arguments of the factory")
    max_steps: int = Field(
        1_000, ge=1, le=MAX_STEPS, description="steps after which an episode is cut off, if not over"
    )
    reward_range: RewardBounds = Field([0.0, 1.0], description="smallest and largest reward of a step")

    @property
    def task(self) -> Task:
        actions = self.action_spec
        return vector_task(self.dim, int(actions.maximum - actions.minimum) + 1, *self.reward_range)

    def reset(self, seeds: np.ndarray) -> Episodes:
        return TFAgentsEpisodesRunning(self, seeds)

    @cached_property
    def action_spec(self) -> Any:
        """TF-Agents' specification of actions, after a check of the environment."""
        where = f"environment.factory = {self.factory!r}"
        if getattr(self._first, "batched", True):
            raise InvalidInput(f"{where}: returns no PyEnvironment of one episode at a time, without a batch")
        spec = self._first.action_spec()
        if getattr(spec, "shape", None) != () or not np.issubdtype(spec.dtype, np.integer):
            raise InvalidInput(f"{where}: its actions are no single whole numbers: {spec}")
        return spec

    @cached_property
    def dim(self) -> int:
        """The length of an observation."""
        shape: tuple[int, ...] = getattr(self._first.observation_spec(), "shape", ())
        if len(shape) != 1:
            raise InvalidInput(f"environment.factory = {self.factory!r}: give one whose observations are vectors")
        return int(shape[0])

    @cached_property
    def _first(self) -> Any:
        return make_environment(self.factory, self.arguments)


class TFAgentsEpisodesRunning(Episodes):
    """Episodes in environments of their own."""

    def __init__(self, environment: TFAgentsEpisodes, seeds: np.ndarray) -> None:
        self._spec, self._max_steps = environment.action_spec, environment.max_steps
        self._seeds, self._step = seeds, 0
        self._observations = np.empty((len(seeds), environment.dim), np.float32)
        self._running: dict[int, Any] = {}
        for row in range(len(seeds)):
            with seeded(self._seed(row)):
                self._running[row] = make_environment(environment.factory, environment.arguments)
                with contextlib.suppress(NotImplementedError):
                    self._running[row].seed(self._seed(row) >> 1)  # Gym's takes 31 bits
                self._observations[row] = self._running[row].reset().observation

    @property
    def contexts(self) -> Contexts:
        return {OBSERVATION: self._observations.copy()}

    def step(self, actions: np.ndarray) -> Steps:
        rewards, terminal, truncated = np.zeros(len(actions)), *np.zeros((2, len(actions)), bool)
        self._step += 1
        for row, running in list(self._running.items()):
            with seeded(self._seed(row)):
                step = running.step(np.asarray(int(actions[row]) + self._spec.minimum, self._spec.dtype))
            rewards[row], self._observations[row] = step.reward, step.observation
            terminal[row] = bool(step.is_last()) and float(step.discount) == 0
            truncated[row] = not terminal[row] and (bool(step.is_last()) or self._step >= self._max_steps)
            if terminal[row] or truncated[row]:
                self._running.pop(row).close()
        return Steps(rewards, terminal, truncated)

    def _seed(self, row: int) -> int:
        """The seed of what an episode draws in its present step, less than 2 ** 32."""
        return int(hashes(self._seeds[[row]], self._step)[0] >> np.uint64(32))
