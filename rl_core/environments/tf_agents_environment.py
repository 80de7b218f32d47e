"""TF-Agents' bandit environments as an Environment. Imports TensorFlow, once its task or a reward is asked for."""

import contextlib
import importlib
import random as python_random
import zlib
from collections.abc import Iterator
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


class TFAgentsEnvironment(Environment):
    """A BanditPyEnvironment of TF-Agents with observations that are vectors, and numbered actions.

    Such an environment draws its observations itself, one after another. So that a reward is a function of the context,
    every context has a seed, from which `reset` draws its observation. For a reward the same is drawn again, then the
    action is applied under a seed of the event id. This holds for environments that draw all randomness from Python's
    and NumPy's global generators, as those of TF-Agents do, and whose rewards do not depend on earlier steps. Time and
    drift stand still.
    """

    name: Literal["tf_agents"] = "tf_agents"
    factory: str = Field(
        pattern=r"^[\w.]+:\w+$", description="module:function that returns a BanditPyEnvironment with a batch_size of 1"
    )
    arguments: Arguments = Field({}, description="keyword arguments of the factory")
    reward_range: RewardBounds = Field([0.0, 1.0], description="smallest and largest reward")

    @property
    def task(self) -> Task:
        [dim], actions = self._environment.observation_spec().shape, self._environment.action_spec()
        return vector_task(dim, int(actions.maximum - actions.minimum) + 1, *self.reward_range)

    def observe(self, batch: int, random: np.random.Generator) -> Contexts:
        seeds = random.integers(MAX_SEED, size=batch)
        observations = [self._reset(int(seed)) for seed in seeds]
        return {OBSERVATION: np.array(observations, np.float32), SEED: seeds}

    def reward(self, contexts: Contexts, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        spec, rewards = self._environment.action_spec(), []
        for seed, action, event_id in zip(contexts[SEED], actions, event_ids, strict=True):
            self._reset(int(seed))
            with seeded(zlib.crc32(event_id.encode())):
                step = self._environment.step(np.array([action + spec.minimum], spec.dtype))
            rewards.append(float(np.squeeze(step.reward)))
        return np.array(rewards)

    def _reset(self, seed: int) -> np.ndarray:
        """The observation [dim] that the environment draws with the seed, and to which the next step applies."""
        with seeded(seed):
            return np.asarray(self._environment.reset().observation)[0]

    @cached_property
    def _environment(self) -> Any:
        environment = make_environment(self.factory, self.arguments)
        if getattr(environment, "batch_size", None) != 1:
            raise InvalidInput(f"environment.factory = {self.factory!r}: returns no environment with a batch_size of 1")
        if len(getattr(environment.observation_spec(), "shape", ())) != 1 or environment.action_spec().shape:
            raise InvalidInput(
                f"environment.factory = {self.factory!r}: give one whose observations are vectors, with single actions"
            )
        return environment


def make_environment(factory: str, arguments: dict[str, Any]) -> Any:
    """What a factory, module:function, returns. InvalidInput: there is none, or it does not take the arguments."""
    import banditloop.rl_core.tf  # noqa: F401  (configures TensorFlow before TF-Agents imports it)

    module, _, function = factory.partition(":")
    try:
        return getattr(importlib.import_module(module), function)(**arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise InvalidInput(f"environment.factory = {factory!r}: {error}; give module:function") from None


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's and NumPy's global generators have the seed, and go on afterwards as if nothing had been drawn.

    seed: less than 2 ** 32.
    """
    state, numpy_state = python_random.getstate(), np.random.get_state()
    python_random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        python_random.setstate(state)
        np.random.set_state(numpy_state)
