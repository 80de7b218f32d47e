"""A batch of logged interactions, and the propensities of their actions."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.agents import one_hot
from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.evaluation.interactions import Interactions
from banditloop.rl_core.events.propensities import has_unknown_propensity, is_external
from banditloop.rl_core.policies.saved_policy import SavedPolicy


class LoggedBatch(NamedTuple):
    """Interactions with the policies that logged them."""

    interactions: Interactions
    logged_by: np.ndarray  # index of the logging policy [B]; -1: unknown
    mix: np.ndarray  # probability with which each policy was to answer [B, policies]; 0 where it is unknown
    logged_propensities: np.ndarray  # [B]
    sample_weight: np.ndarray | None  # [B], with a mean of 1 over the window

    def probabilities(self, policy: SavedPolicy) -> np.ndarray:
        """A policy's probability of every candidate [B, K]."""
        return policy.probabilities(policy.observations(self.interactions.contexts), self.interactions.candidates)

    def propensity(self, policies: Mapping[str, SavedPolicy], known: Mapping[str, np.ndarray]) -> np.ndarray:
        """The propensity [B] of the logged actions: the mixture's or, of an unknown policy, as it was logged.

        policies: those that logged the window, by version; known: probabilities [B, K] of some of them.
        """
        actions = self.interactions.actions
        propensity = np.where(self.logged_by < 0, self.logged_propensities, 0.0)
        for index, (version, policy) in enumerate(policies.items()):
            if self.mix[:, index].any():
                probabilities = known[version] if version in known else self.probabilities(policy)
                propensity += self.mix[:, index] * probabilities[np.arange(len(actions)), actions]
        return propensity

    def of_the_log(self, propensity: np.ndarray, predictions: np.ndarray) -> tuple[Logged, np.ndarray]:
        """The decisions with whatever logged them as the target, and probabilities [B, K] of 1 for its actions.

        All weights are 1. The expected reward is that of the action taken, so that the doubly robust estimate is the
        mean reward of the log.
        """
        actions, rewards = self.interactions.actions, self.interactions.rewards
        predicted = predictions[np.arange(len(actions)), actions]
        decisions = Logged(rewards, propensity, propensity, predicted, predicted, sample_weight=self.sample_weight)
        return decisions, one_hot(actions, predictions.shape[1])


def told_by_application(table: pa.Table) -> pa.ChunkedArray:
    """Which decisions were taken by an application that told their propensity [B]."""
    return pc.and_(is_external(table), pc.invert(has_unknown_propensity(table)))
