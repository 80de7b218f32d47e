"""The interface of an environment, and the true value of policies in it."""

import abc

import numpy as np

from banditloop.rl_core.environments.reward_range import RewardRange
from banditloop.rl_core.settings.section import Section


class Environment(Section, abc.ABC):
    """A population of users, and the reward of every action for each of them."""

    name: str

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """The length of an observation."""

    @property
    @abc.abstractmethod
    def actions(self) -> int:
        """The number of actions."""

    @property
    @abc.abstractmethod
    def reward_range(self) -> RewardRange:
        """The range of rewards, by which evaluation scales them to [0, 1]; it clips rewards outside."""

    @abc.abstractmethod
    def population(self) -> np.ndarray:
        """The observations of all users, float32 [users, dim]."""

    @abc.abstractmethod
    def expected_rewards(self) -> np.ndarray:
        """The mean reward of every action for every user, [users, actions]."""

    @abc.abstractmethod
    def reward(self, observations: np.ndarray, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        """The rewards [B] of `actions` [B] for `observations` [B, dim].

        A pure function: any noise is a function of the event id.
        """

    def observe(self, batch: int, random: np.random.Generator) -> np.ndarray:
        """Observations of users drawn uniformly, float32 [batch, dim]."""
        population = self.population()
        return population[random.integers(len(population), size=batch)]


def policy_value(environment: Environment, probabilities: np.ndarray) -> float:
    """The true mean reward, over all users, of a policy with these action probabilities [users, actions]."""
    return float((probabilities * environment.expected_rewards()).sum(axis=1).mean())


def baselines(environment: Environment) -> dict[str, float]:
    """The true mean rewards of choosing uniformly, of the best single action, and of the best action for each user."""
    rewards = environment.expected_rewards()
    return {
        "uniform": float(rewards.mean()),
        "best_fixed": float(rewards.mean(axis=0).max()),
        "oracle": float(rewards.max(axis=1).mean()),
    }
