"""The interface of a sequential environment: episodes of decisions, each of which changes what comes next."""

import abc
from typing import NamedTuple

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.environment import Simulated
from banditloop.rl_core.environments.noise import hashes
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.contexts import Contexts

MAX_STEPS = 1_000_000  # of an episode


class Steps(NamedTuple):
    """What a step of B episodes brought: rewards [B], and how it ended them.

    terminal [B]: whether nothing can follow. truncated [B]: whether the episode was cut off though more could follow.
    """

    rewards: np.ndarray
    terminal: np.ndarray
    truncated: np.ndarray

    @property
    def ended(self) -> np.ndarray:
        """Which episodes are over, bool [B]."""
        return self.terminal | self.truncated


class Episodes(abc.ABC):
    """B running episodes. They do not affect each other: each is a function of its seed and its actions alone."""

    @property
    @abc.abstractmethod
    def contexts(self) -> Contexts:
        """What the policy observes in each episode now: values [B] by feature, vectors [B, length].

        In an episode that the latest step cut off, it is what would have been observed next; in one that was over
        before, it means nothing.
        """

    @abc.abstractmethod
    def step(self, actions: np.ndarray) -> Steps:
        """Take an action in each episode [B], ids, or numbers where the task numbers its actions; changes `contexts`.

        Episodes that are over stay so, whatever their actions: their rewards are 0, and terminal and truncated are
        False.
        """

    def candidates(self) -> list[list[str]] | None:
        """The ids of the actions that may be chosen in each episode now; None: all actions of the task."""
        return None


class EpisodicEnvironment(Simulated):
    """What answers a sequence of actions: observations, rewards, and the end of an episode."""

    max_steps: int = Field(ge=1, le=MAX_STEPS, description="steps after which an episode is cut off, if not over")

    @abc.abstractmethod
    def reset(self, seeds: np.ndarray) -> Episodes:
        """Start episodes, one for each seed: uint64 [B]. The same seeds and actions give the same episodes.

        An episode is the same whatever others it is started with, in whatever process.
        """

    def reward_scale(self, contexts: Contexts) -> np.ndarray | None:
        """The numbers that training divides rewards by, positive [B] for contexts; None: 1 everywhere.

        Where rewards differ much between episodes for reasons that no action changes, such a scale makes an agent
        attend to all alike. An episode should have the same scale in all of its steps: then no best policy changes.
        """
        return None


def configured_episodic(environment: Simulated | None, part: str) -> EpisodicEnvironment:
    """The sequential environment of a config, for a part that needs one.

    Raises:
        InvalidInput: the config has none, or one of single decisions.
    """
    if environment is None:
        raise InvalidInput(f"environment: is missing; {part} needs one")
    if not isinstance(environment, EpisodicEnvironment):
        raise InvalidInput(f"environment.name = {environment.name!r}: has no episodes; {part} needs a sequential one")
    return environment


def episode_seeds(seed: int, first: int, count: int) -> np.ndarray:
    """The seeds uint64 [count] of the episodes from number `first` on, of a run with this seed."""
    return hashes(np.random.SeedSequence(seed).generate_state(1, np.uint64), np.arange(first, first + count))
