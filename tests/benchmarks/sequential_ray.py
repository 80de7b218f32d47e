"""Episodes of a slow environment, on two Ray workers beside one process. They are the same."""

import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from banditloop.rl_core.environments.cartpole import CartPole
from banditloop.rl_core.environments.episodic import Episodes
from banditloop.rl_core.rollouts import IN_PROCESS, Engine, Returns, engine, returns, uniformly
from banditloop.rl_core.settings.rollouts import RolloutsSection
from tests.benchmarks.ratio import Row, at_least
from tests.support.ray_package import install_ray

STEP_SECONDS, EPISODES, MAX_STEPS, REPEATS = 0.01, 32, 20, 5


class SlowEpisodes(Episodes):
    """Episodes, each of whose steps takes 10 ms of the processor while it goes on."""

    def __init__(self, episodes: Episodes, count: int) -> None:
        self._episodes, self._running = episodes, np.ones(count, bool)

    @property
    def contexts(self):
        return self._episodes.contexts

    def step(self, actions):
        end = time.thread_time() + STEP_SECONDS * self._running.sum()
        while time.thread_time() < end:
            pass
        steps = self._episodes.step(actions)
        self._running &= ~steps.ended
        return steps


class SlowCartPole(CartPole):
    def reset(self, seeds):
        return SlowEpisodes(super().reset(seeds), len(seeds))


def rows() -> list[Row]:
    section = RolloutsSection(engine="ray", workers=2)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as variables:
        install_ray(variables)
        with engine(section, Path(folder)) as workers:
            _seconds(workers)  # the workers start
            ratios = [_ratio(workers) for _ in range(REPEATS)]
    return [at_least("sequential: two Ray workers, 10 ms a step", ratios, "× one process", 1.6)]


def _ratio(workers: Engine) -> float:
    (own, expected), (of_two, played) = _seconds(IN_PROCESS), _seconds(workers)
    assert all(map(np.array_equal, played, expected))
    return own / of_two


def _seconds(where: Engine) -> tuple[float, Returns]:
    start = time.perf_counter()
    played = returns(uniformly, SlowCartPole(max_steps=MAX_STEPS), 0, EPISODES, engine=where)
    return time.perf_counter() - start, played
