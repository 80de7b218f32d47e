"""What a tuning maximises: the reward of a simulated loop or of a policy, or the off-policy value on a log."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.tuning.comparison import Comparison, Estimate
from banditloop.rl_core.tuning.episodes import episode_reward
from banditloop.rl_core.tuning.on_policy import on_policy_reward
from banditloop.rl_core.tuning.simulation import simulated_reward

TEST_SEED = 1_000_000  # the first seed of the test; trials have 0, 1, …


class Objective(Protocol):
    """The value of settings, in units of the reward."""

    @property
    def metric(self) -> str:
        """The name of the value."""

    def value(self, config: Config, seed: int) -> float:
        """The value of a config by one simulation, or on one fold of the log. InvalidInput: it cannot be trained."""

    def compare(self, present: Config, best: Config) -> Comparison:
        """Both configs on data that no trial has seen."""


class Simulated(NamedTuple):
    """The mean reward of simulated loops, or of the episodes of policies that were trained on-policy."""

    metric: str = "mean reward of a simulated loop"
    reward: Callable[[Config, int], float] = simulated_reward

    @classmethod
    def of(cls, config: Config) -> "Simulated":
        """The objective in a config's environment: of single decisions, or of episodes."""
        if config.episodes:
            return cls("mean reward of an episode", episode_reward)
        if config.tuning.objective == "on_policy":
            return cls("mean reward of a policy trained on-policy", on_policy_reward)
        return cls()

    def value(self, config: Config, seed: int) -> float:
        """The mean reward with one seed."""
        return self.reward(config, seed)

    def compare(self, present: Config, best: Config) -> Comparison:
        """Both configs in the same fresh simulations, with the differences of the pairs."""
        seeds = range(TEST_SEED, TEST_SEED + present.tuning.test_seeds)
        old, new = (np.array([self.value(config, seed) for seed in seeds]) for config in (present, best))
        return Comparison(
            Estimate.of_mean(old),
            Estimate.of_mean(new),
            Estimate.of_mean(new - old),
            f"{len(seeds)} fresh simulations",
        )


class Source(NamedTuple):
    """Where the log is: a file with columns of these names, or the loop's, read up to a time (ISO 8601)."""

    log: str = ""
    columns: Mapping[str, str] = {}
    as_of: str = ""


def objective_of(config: Config, platform: Platform | None, source: Source) -> Objective:
    """The objective of the config's tuning section.

    Raises:
        InvalidInput: there is no log, or too little of it.
    """
    if config.tuning.objective != "log":
        if source.log:
            raise InvalidInput(
                f"log: is not read by objective = {config.tuning.objective!r}; give tuning.objective = 'log'"
            )
        return Simulated.of(config)
    from banditloop.rl_core.tuning.off_policy import OffPolicy, window_of_file, window_of_loop

    if source.log:
        return OffPolicy.of(config, window_of_file(config, Path(source.log), source.columns))
    if platform is None:
        raise InvalidInput('backend: is missing; tuning without a log needs that of a loop, as {"name": "local"}')
    return OffPolicy.of(config, window_of_loop(config, platform, source.as_of))


def with_source(config: Config, platform: Platform | None, source: Source) -> Source:
    """The source with the time up to which the loop's log is complete now, so that all trials read the same log."""
    if config.tuning.objective != "log" or source.log or source.as_of or platform is None:
        return source
    until: Any = platform.warehouse.window(None).until
    return source._replace(as_of=until.isoformat())
