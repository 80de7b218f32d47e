"""A simulation as TF-Agents' bandit environment, for its drivers. Imports TensorFlow."""

import numpy as np

import banditloop.rl_core.tf  # noqa: F401  (configures TensorFlow before TF-Agents imports it)

# isort: split
from tf_agents.bandits.environments.bandit_py_environment import BanditPyEnvironment
from tf_agents.specs import array_spec

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.training.on_policy.simulation import Simulation, Visits


class SimulatedBandit(BanditPyEnvironment):
    """float32 observations [B, dim], int32 positions of actions [B], float32 rewards [B]. It records what was earned.

    `begin` sets the random generator of a loop; `reset` then draws the first observations.

    Raises:
        InvalidInput: not every action may always be chosen.
    """

    def __init__(self, simulation: Simulation, batch_size: int) -> None:
        if simulation.actions_change:
            raise InvalidInput("environment: not every action may always be chosen; TF-Agents' agents need that")
        dim, actions = simulation.shape
        self._simulation, self._batch_size = simulation, batch_size
        self._random, self._step_number = np.random.default_rng(0), 0
        self._visits: Visits | None = None
        self._earned: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []
        super().__init__(
            array_spec.ArraySpec((dim,), np.float32, "observation"),
            array_spec.BoundedArraySpec((), np.int32, 0, actions - 1, "action"),
        )

    @property
    def batched(self) -> bool:
        """Whether it takes several actions at once: yes."""
        return True

    @property
    def batch_size(self) -> int:
        """The number of actions in a step."""
        return self._batch_size

    def begin(self, random: np.random.Generator, step: int) -> None:
        """Draw from this generator from now on; `step`: number of the next step, which determines its noise."""
        self._random, self._step_number = random, step
        self._earned.clear()

    def skip(self, steps: int) -> None:
        """Advance time by `steps` batches of contexts, in an environment that changes with time."""
        for _ in range(steps):
            self._simulation.skip(self._batch_size)

    def collected(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Actions, rewards and regrets [B] since `begin`; regrets are None where they are unknown."""
        actions, rewards, regrets = zip(*self._earned, strict=True)
        known = None if regrets[0] is None else np.concatenate(regrets)
        return np.concatenate(actions), np.concatenate(rewards), known

    def _observe(self) -> np.ndarray:
        self._visits = self._simulation.visits(self._batch_size, self._random)
        return self._visits.observations

    def _apply_action(self, action: np.ndarray) -> np.ndarray:
        assert self._visits is not None, "observe comes first"
        rewards, regrets = self._simulation.feedback(self._visits, action, self._step_number * self._batch_size)
        self._earned.append((action, rewards, regrets))
        self._step_number += 1
        return rewards.astype(np.float32)
