"""Logged episodes as estimators take them: arrays [E, T], padded after the end of each episode."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from banditloop.rl_core.agents.transitions import Transitions
from banditloop.rl_core.errors import InvalidInput

ROUNDING = 1e-6  # of probabilities, which may be computed in single precision


@dataclass(frozen=True)
class LoggedEpisodes:
    """E logged episodes of at most T steps, and a target policy's probabilities of what was done in them.

    An episode that is over stays in an absorbing state: rewards and predictions are 0 and ratios are 1 there, so that
    its weight counts at every later step, too. An episode that was cut off is over as well: what is estimated is the
    sum of the discounted rewards up to the end or the cut, whichever comes first.

    rewards: [E, T]. ratios: [E, T], the target policy's probability of the logged action / its propensity.
    discounts: [E, T], what a reward of 1 at this step is worth at the episode's start; 1 at the first step.
    lengths: [E], numbers of steps.
    shares: [E], of each episode in all traffic; they sum to 1, and are equal unless only a sample was logged.
    predicted: [E, T], a model's value of the logged action under the target policy: Q, discounted to its own step.
    expected: [E, T], the mean of the model's values over the target policy's actions: V.
    fit_influence: [E], of each episode on the model's mean value at the first step, if it was fitted to these episodes.
    """

    rewards: np.ndarray
    ratios: np.ndarray
    discounts: np.ndarray
    lengths: np.ndarray
    shares: np.ndarray
    predicted: np.ndarray
    expected: np.ndarray
    fit_influence: np.ndarray | None = None

    @classmethod
    def of(cls, transitions: Transitions, target: np.ndarray) -> Self:
        """The episodes of transitions, with a model that predicts 0.

        target: the target policy's probabilities, of all actions [B, actions] or of the logged ones [B].

        Raises:
            InvalidInput: there are no transitions, a propensity is unknown, or a probability is not from 0 to 1.
        """
        chosen = target if target.ndim == 1 else target[np.arange(len(target)), transitions.actions]
        _check(transitions, chosen)
        rows = EpisodeRows(transitions.episodes)
        # All transitions but the last of an episode have a next one: their discounts lead from step to step.
        to_next = rows.pad(transitions.discounts, 1.0)
        discounts = np.cumprod(np.column_stack([np.ones(len(to_next)), to_next[:, :-1]]), axis=1)
        shares = np.ones(len(to_next))
        if transitions.sample_weight is not None:
            shares = transitions.sample_weight[rows.starts]
        zeros = np.zeros_like(to_next)
        ratios = rows.pad(chosen / transitions.propensities, 1.0)
        rewards, lengths = rows.pad(transitions.rewards), np.bincount(rows.episode)
        return cls(rewards, ratios, discounts, lengths, shares / shares.sum(), zeros, zeros)

    def with_rewards(self, rewards: np.ndarray) -> Self:
        """The same episodes with other rewards [E, T], and a model that predicts 0."""
        zeros = np.zeros_like(rewards)
        return replace(self, rewards=rewards, predicted=zeros, expected=zeros, fit_influence=None)

    @property
    def returns(self) -> np.ndarray:
        """The sum of each episode's discounted rewards [E]."""
        return (self.discounts * self.rewards).sum(axis=1)

    @cached_property
    def log_weights(self) -> np.ndarray:
        """The logarithms of the products of ratios up to each step [E, T], which neither overflow nor underflow."""
        with np.errstate(divide="ignore"):
            return np.cumsum(np.log(self.ratios), axis=1)

    @cached_property
    def weights(self) -> np.ndarray:
        """The products of ratios up to each step [E, T]; infinite if they are too large for a number."""
        with np.errstate(over="ignore"):
            return np.exp(self.log_weights)

    @cached_property
    def normalised(self) -> np.ndarray:
        """The weights times shares, divided by their sum at each step [E, T]; 0 if all are 0 there."""
        largest = self.log_weights.max(axis=0)
        relative = np.exp(self.log_weights - np.where(np.isfinite(largest), largest, 0.0)) * self.shares[:, None]
        sums = relative.sum(axis=0)
        return relative / np.where(sums > 0, sums, 1.0)

    def before(self, weights: np.ndarray, first: np.ndarray | float) -> np.ndarray:
        """Weights [E, T] up to the step before each; `first` at the first step."""
        return np.column_stack([np.broadcast_to(first, len(weights)), weights[:, :-1]])


class EpisodeRows:
    """The places in [E, T] of the rows of flat columns [B]. The rows of an episode are next to each other."""

    def __init__(self, episodes: np.ndarray) -> None:
        is_first = np.ones(len(episodes), bool)
        is_first[1:] = episodes[1:] != episodes[:-1]
        self.starts = np.flatnonzero(is_first)
        self.episode = np.cumsum(is_first) - 1
        self.ordinal = np.arange(len(episodes)) - self.starts[self.episode]

    def pad(self, column: np.ndarray, fill: float = 0.0) -> np.ndarray:
        """A column [B] as [E, T], with `fill` after the end of each episode."""
        padded = np.full((len(self.starts), int(self.ordinal.max()) + 1), fill)
        padded[self.episode, self.ordinal] = column
        return padded


def _check(transitions: Transitions, chosen: np.ndarray) -> None:
    if not len(transitions.rewards):
        raise InvalidInput("episodes: there are none")
    if not ((transitions.propensities > 0) & (transitions.propensities <= 1 + ROUNDING)).all():
        raise InvalidInput("propensity: of every step of an episode it must be known, above 0 and at most 1")
    if not ((chosen >= 0) & (chosen <= 1 + ROUNDING)).all():
        raise InvalidInput("target: a probability must be from 0 to 1")
