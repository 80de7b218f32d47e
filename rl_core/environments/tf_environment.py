"""Adapter from an Environment to TF-Agents, for its drivers, agents and validation. Imports TensorFlow."""

import itertools

import numpy as np

import banditloop.rl_core.tf  # noqa: F401  (configures TensorFlow before TF-Agents imports it)

# isort: split
from tf_agents.bandits.environments.bandit_py_environment import BanditPyEnvironment
from tf_agents.specs import array_spec

from banditloop.rl_core.environments.environment import Environment


class PyEnvironment(BanditPyEnvironment):
    """A batched BanditPyEnvironment: float32 observations [B, dim], int32 actions [B], float32 rewards [B]."""

    def __init__(self, environment: Environment, batch_size: int, seed: int) -> None:
        self._environment = environment
        self._batch_size = batch_size
        self._random = np.random.default_rng(seed)
        self._steps = itertools.count()
        super().__init__(
            array_spec.ArraySpec((environment.dim,), np.float32, "observation"),
            array_spec.BoundedArraySpec((), np.int32, 0, environment.actions - 1, "action"),
            name=environment.name,
        )

    @property
    def batched(self) -> bool:
        return True

    @property
    def batch_size(self) -> int:
        return self._batch_size

    def _observe(self) -> np.ndarray:
        self._current = self._environment.observe(self._batch_size, self._random)
        return self._current

    def _apply_action(self, action: np.ndarray) -> np.ndarray:
        step = next(self._steps)
        event_ids = [f"{step}-{row}" for row in range(self._batch_size)]
        return self._environment.reward(self._current, action, event_ids).astype(np.float32)
