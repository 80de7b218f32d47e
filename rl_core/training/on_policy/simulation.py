"""An environment as arrays: observations, which actions may be chosen, rewards and regret."""

from typing import NamedTuple

import numpy as np

from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import Environment, baselines, configured
from banditloop.rl_core.environments.history import chosen_actions, features_by_id
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts, context_array, take
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.settings.task import Task

FIT_ROWS = 10_000  # contexts that an encoder is fitted to, where there is no population


class Visits(NamedTuple):
    """Decisions to take: contexts [B], observations [B, dim], and which actions may be chosen [B, actions]; None: all.

    rows: their positions in the population [B]; None where the environment has none.
    """

    contexts: Contexts
    observations: np.ndarray
    eligible: np.ndarray | None
    rows: np.ndarray | None


class Simulation:
    """The environment of a config, with the encoding that a policy trained in it has.

    Where the environment knows its population, contexts are drawn from it by their positions, encoded once.

    Raises:
        InvalidInput: there is no environment, or it does not list its actions.
    """

    def __init__(self, config: Config) -> None:
        environment = configured(config.environment, "on-policy training")
        ids = config.task.action_ids
        if ids is None:
            raise InvalidInput("task.actions: are not listed; on-policy training needs them, as a number or a list")
        self._task, self._population = config.task, environment.population()
        # In an environment that changes with time, time starts at 0; a population never changes.
        self.environment = environment.restarted() if self._population is None else environment
        self.encoding = _encoding(self.environment, config.task, self._population)
        self.actions = chosen_actions(config.task, list(ids))
        self._observations = None if self._population is None else self._encoded(self._population)
        expected = None if self._population is None else self.environment.expected_rewards()
        self._regrets = None if expected is None else expected.max(axis=1, keepdims=True) - expected

    def baselines(self) -> dict[str, float]:
        """The true mean rewards of `environments.baselines`; empty where they are unknown."""
        return baselines(self.environment) if self._regrets is not None else {}

    @property
    def shape(self) -> tuple[int, int]:
        """The length of an observation, and the number of actions."""
        return self.encoding.context.dim, len(self.actions)

    @property
    def actions_change(self) -> bool:
        """Whether the actions that may be chosen differ between decisions."""
        random = np.random.default_rng(0)
        contexts = self.environment.restarted().observe(1, random) if self._population is None else None
        return self._eligible(contexts or take(self._population or {}, np.array([0])), random) is not None

    def visits(self, count: int, random: np.random.Generator) -> Visits:
        """`count` decisions to take, drawn by the generator."""
        if self._population is not None and self._observations is not None:
            rows = random.integers(len(self._observations), size=count)
            contexts = take(self._population, rows)
            return Visits(contexts, self._observations[rows], self._eligible(contexts, random), rows)
        contexts = self.environment.observe(count, random)
        return Visits(contexts, self._encoded(contexts), self._eligible(contexts, random), None)

    def skip(self, count: int) -> None:
        """Advance time by `count` contexts, in an environment that changes with time."""
        if self._population is None:
            self.environment.observe(count, np.random.default_rng(0))

    def feedback(self, visits: Visits, actions: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Rewards [B] of actions by position [B], and their regrets [B]: None where these are unknown.

        first: the number of the first interaction, which determines the noise of the rewards.
        """
        event_ids = [f"on-policy-{first + row}" for row in range(len(actions))]
        rewards = np.asarray(self.environment.reward(visits.contexts, self.actions[actions], event_ids), np.float64)
        return rewards, None if self._regrets is None else self._regrets[visits.rows, actions]

    def _eligible(self, contexts: Contexts, random: np.random.Generator) -> np.ndarray | None:
        listed = self.environment.candidates(contexts, random)
        if listed is None:
            return None
        index = self.encoding.index
        eligible = np.zeros((len(listed), len(self.actions)), bool)
        for row, candidates in enumerate(listed):
            eligible[row, [index[action] for action in candidates]] = True
        return eligible

    def _encoded(self, contexts: Contexts) -> np.ndarray:
        """Observations float32 [B, dim] of contexts."""
        if self._task.plain:
            return np.asarray(contexts[self._task.plain], np.float32)
        return self.encoding.context.encode(context_array(self._task, contexts))


def _encoding(environment: Environment, task: Task, population: Contexts | None) -> Encoding:
    """The encoding of the task, fitted to the population or to contexts that a copy of the environment draws."""
    encoding = Encoding.unfitted(task).with_features(task, features_by_id(environment))
    if not encoding.context.is_fitted:
        return encoding
    contexts = population or environment.restarted().observe(FIT_ROWS, np.random.default_rng(0))
    return encoding.model_copy(update={"context": encoding.context.fit(context_array(task, contexts))})
