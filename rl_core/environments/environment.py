"""The interface of an environment, and the true value of policies in it."""

import abc
from typing import Any, Self

import numpy as np

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts, take
from banditloop.rl_core.settings.section import Section
from banditloop.rl_core.settings.task import Task


class Simulated(Section, abc.ABC):
    """What a config can simulate: single decisions (Environment) or sequences of them (EpisodicEnvironment)."""

    name: str

    @property
    @abc.abstractmethod
    def task(self) -> Task:
        """What is decided. Loads no data unless the task depends on it."""


class Environment(Simulated):
    """What rewards: contexts that are observed, and the reward of an action in a context.

    Its task, `observe` and `reward` are all that a loop needs. An environment that knows the mean reward of every
    action in every context can say so, for pages that show value and regret.
    """

    @abc.abstractmethod
    def observe(self, batch: int, random: np.random.Generator) -> Contexts:
        """Contexts of `batch` decisions, drawn by the generator: values [batch] by feature, vectors [batch, length].

        Columns that are not features of the task, by convention with a leading underscore, are hidden: `reward` gets
        them, policies and the log do not.
        """

    @abc.abstractmethod
    def reward(self, contexts: Contexts, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        """The rewards [B] of `actions` [B] in contexts: ids, or numbers where the task numbers its actions.

        A pure function: any noise is a function of the event id.
        """

    def restarted(self) -> Self:
        """A copy, from which nothing has been drawn yet: its time, and that of environments in it, starts at 0."""
        inner = {name: value.restarted() for name, value in self if isinstance(value, Environment)}
        return self.model_copy(update=inner)

    def candidates(self, contexts: Contexts, random: np.random.Generator) -> list[list[str]] | None:
        """The ids of the actions that may be chosen in each context; None: all actions of the task, in all of them."""
        return None

    def action_features(self) -> list[dict[str, Any]] | None:
        """The features of every action, in the order of the task's ids; None if actions have no features."""
        return None

    def delays(self, event_ids: list[str]) -> np.ndarray | None:
        """Seconds [B] between a decision and its reward, functions of the event ids; None: none."""
        return None

    def population(self) -> Contexts | None:
        """All contexts, equally likely; None if they are unknown or infinitely many."""
        return None

    def expected_rewards(self) -> np.ndarray | None:
        """The mean reward of every action in every context of the population [contexts, actions]; None if unknown.

        Also None where not all actions may be chosen: the best action of a context then differs between decisions.
        """
        return None


def configured(environment: Simulated | None, part: str) -> Environment:
    """The environment of a config, for a part that needs one of single decisions.

    Raises:
        InvalidInput: the config has none, or a sequential one.
    """
    if environment is None:
        raise InvalidInput(f"environment: is missing; {part} needs one")
    if not isinstance(environment, Environment):
        raise InvalidInput(f"environment.name = {environment.name!r}: is sequential; {part} needs single decisions")
    return environment


def draw(population: Contexts, batch: int, random: np.random.Generator) -> Contexts:
    """`batch` contexts, drawn uniformly from a population."""
    size = len(next(iter(population.values())))
    return take(population, random.integers(size, size=batch))


def known_rewards(environment: Environment) -> np.ndarray:
    """The environment's expected rewards [contexts, actions].

    Raises:
        InvalidInput: the environment does not know them.
    """
    rewards = environment.expected_rewards()
    if rewards is None:
        raise InvalidInput(f"environment.name = {environment.name!r}: has no expected rewards")
    return rewards


def policy_value(environment: Environment, probabilities: np.ndarray) -> float:
    """The true mean reward, over the population, of a policy with these action probabilities [contexts, actions]."""
    return float((probabilities * known_rewards(environment)).sum(axis=1).mean())


def baselines(environment: Environment) -> dict[str, float]:
    """The true mean rewards of choosing uniformly, of the best single action, and of the best action per context."""
    rewards = known_rewards(environment)
    return {
        "uniform": float(rewards.mean()),
        "best_fixed": float(rewards.mean(axis=0).max()),
        "oracle": float(rewards.max(axis=1).mean()),
    }
