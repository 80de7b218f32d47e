"""What an environment is, and what a policy is truly worth in it."""

import abc

import numpy as np

from rl_core.sections import Section


class Environment(Section, abc.ABC):
    """Users that a policy observes, and the reward of every action for each of them."""

    name: str

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Length of an observation."""

    @property
    @abc.abstractmethod
    def actions(self) -> int:
        """Number of actions."""

    @property
    @abc.abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The least and the largest reward, by which evaluation scales rewards to [0, 1] and clips the rest."""

    @abc.abstractmethod
    def population(self) -> np.ndarray:
        """The observations of all users, float32 [users, dim]."""

    @abc.abstractmethod
    def expected_rewards(self) -> np.ndarray:
        """The mean reward of every action for every user, [users, actions]."""

    @abc.abstractmethod
    def reward(self, observations: np.ndarray, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        """The rewards [B] of `actions` [B] for `observations` [B, dim].

        A pure function: noise, where there is any, is drawn from the event id.
        """

    def observe(self, batch: int, random: np.random.Generator) -> np.ndarray:
        """Observations of users drawn uniformly, float32 [batch, dim]."""
        population = self.population()
        return population[random.integers(len(population), size=batch)]


def value(environment: Environment, probabilities: np.ndarray) -> float:
    """True mean reward over all users of a policy that takes actions with `probabilities` [users, actions]."""
    return float((probabilities * environment.expected_rewards()).sum(axis=1).mean())


def baselines(environment: Environment) -> dict[str, float]:
    """True mean reward of choosing uniformly, of the best single action, and of the best action for each user."""
    rewards = environment.expected_rewards()
    return {
        "uniform": float(rewards.mean()),
        "best_fixed": float(rewards.mean(axis=0).max()),
        "oracle": float(rewards.max(axis=1).mean()),
    }
