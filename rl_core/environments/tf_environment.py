"""Adapter from an Environment to TF-Agents, for its drivers, agents, metrics and validation. Imports TensorFlow."""

import itertools
from functools import cached_property
from typing import Any

import numpy as np

from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.bandits.environments.bandit_py_environment import BanditPyEnvironment
from tf_agents.specs import array_spec

from banditloop.rl_core.environments.environment import Environment, known_rewards
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.feature_kinds import Vector


class PyEnvironment(BanditPyEnvironment):
    """A batched BanditPyEnvironment: float32 observations [B, dim], int32 actions [B], float32 rewards [B].

    Raises:
        InvalidInput: a context is not one vector, or the actions are not numbered.
    """

    def __init__(self, environment: Environment, batch_size: int, seed: int) -> None:
        task = environment.task
        vector = task.context[task.plain] if task.plain else None
        if not (isinstance(vector, Vector) and task.plain and isinstance(task.actions, int)):
            raise InvalidInput(
                f"environment.name = {environment.name!r}: TF-Agents needs one vector and a number of actions"
            )
        self._environment, self._feature = environment, task.plain
        self._batch_size = batch_size
        self._random = np.random.default_rng(seed)
        self._steps = itertools.count()
        self._current: Contexts = {task.plain: np.empty((0, vector.vector), np.float32)}
        super().__init__(
            array_spec.ArraySpec((vector.vector,), np.float32, task.plain),
            array_spec.BoundedArraySpec((), np.int32, 0, task.actions - 1, "action"),
            name=environment.name,
        )

    @property
    def batched(self) -> bool:
        return True

    @property
    def batch_size(self) -> int:
        return self._batch_size

    def optimal_reward(self, observations: Any) -> Any:
        """The mean rewards [B] of the best actions for observations [B, dim], float32.

        It is the function that RegretMetric takes: of a tensor, it returns a tensor.

        Raises:
            InvalidInput: the environment does not know them, or an observation is not one of its population.
        """
        if tf.is_tensor(observations):
            return tf.numpy_function(self.optimal_reward, [observations], tf.float32)
        best = self._best_rewards
        try:
            return best[[self._index[row.tobytes()] for row in np.asarray(observations, np.float32)]]
        except KeyError:
            raise InvalidInput(f"{self._feature}: is not one of the population; its best reward is unknown") from None

    def compute_optimal_reward(self) -> Any:
        """The mean rewards [B] of the best actions for the observations before the last step.

        TF-Agents' baseline functions for RegretMetric call this, when the step has drawn the next observations already.
        """
        return self.optimal_reward(self._previous)

    @cached_property
    def _best_rewards(self) -> np.ndarray:
        return known_rewards(self._environment).max(axis=1).astype(np.float32)

    @cached_property
    def _index(self) -> dict[bytes, int]:
        population = self._environment.population() or {self._feature: []}
        return {row.tobytes(): number for number, row in enumerate(np.asarray(population[self._feature], np.float32))}

    def _observe(self) -> np.ndarray:
        self._previous = np.asarray(self._current[self._feature], np.float32)
        self._current = self._environment.observe(self._batch_size, self._random)
        return np.asarray(self._current[self._feature], np.float32)

    def _apply_action(self, action: np.ndarray) -> np.ndarray:
        step = next(self._steps)
        event_ids = [f"{step}-{row}" for row in range(self._batch_size)]
        return self._environment.reward(self._current, action, event_ids).astype(np.float32)
