"""Logged episodes as large decisions: the actions of a whole episode are one choice, and its return is the reward.

The probability of a choice is the product of the probabilities of its actions. Whichever version answered an episode,
its propensity is that of the mixture of the versions that were to answer it, by their known shares of the traffic, as
`evaluation.log_window` has it for single decisions: a version's weight is at most 1 / (its own share), however long the
episode is. The weight of a version that had no share of the traffic grows with every step.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from banditloop.rl_core.estimators import Logged

LARGEST_LOG_WEIGHT = 600.0  # of weights that are computed with: from exp(710) on, they are not finite


@dataclass(frozen=True)
class EpisodeDecisions:
    """Episodes [E] in the order of time, and the policies [V] that may have answered them.

    returns [E], predicted [E]: scaled to [0, 1]; each prediction was known when its episode began. log_propensity [E]:
    logarithm of the probability with which the mixture of policies takes the actions of the episode. answered_by [E]:
    index of the policy that did; -1: it is unknown. mix [E, V]: probability with which each policy was to answer; 0
    where it is unknown. log_floors [V]: logarithm of the least probability of any sequence of actions in an episode of
    the most steps. log_least: the same for unknown policies; -inf: not known.
    """

    returns: np.ndarray
    predicted: np.ndarray
    log_propensity: np.ndarray
    answered_by: np.ndarray
    mix: np.ndarray
    log_floors: np.ndarray
    log_least: float = -np.inf

    def as_target(self, log_probability: np.ndarray, policy: int | None = None) -> Logged:
        """The episodes with a policy as the target, of log probabilities [E].

        policy: its index among those of `mix`, if it is one of them.
        """
        weight = (log_probability - self.log_propensity).clip(max=LARGEST_LOG_WEIGHT)
        return self._logged(np.exp(np.minimum(0, -weight)), np.exp(np.minimum(0, weight)), self._max_weight(policy))

    def of_the_log(self) -> Logged:
        """The episodes with the logging policy as the target: all weights are 1."""
        ones = np.ones(len(self.returns))
        return self._logged(ones, ones, ones)

    def of_version(self, policy: int) -> Logged:
        """The episodes weighted by the version that answered them, by its share of the traffic, whatever its actions.

        Only for episodes of which every policy's share was known and above 0.
        """
        answered = self.mix[np.arange(len(self.mix)), self.answered_by]
        return self._logged(answered, (self.answered_by == policy) * 1.0, 1 / self.mix[:, policy])

    def where(self, rows: np.ndarray) -> Self:
        """Some of the episodes, by a mask [E]."""
        columns = "returns", "predicted", "log_propensity", "answered_by", "mix"
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def _logged(self, propensity: np.ndarray, target: np.ndarray, max_weight: np.ndarray) -> Logged:
        """The episodes with a target. No model predicts returns by action: all policies have the same prediction."""
        return Logged(self.returns, propensity, target, self.predicted, self.predicted, max_weight)

    def _max_weight(self, policy: int | None) -> np.ndarray:
        """The largest weight [E] that a policy can have, known before the episode; infinite: not known."""
        own = np.arange(len(self.log_floors)) == policy
        terms = np.log(self.mix, out=np.full(self.mix.shape, -np.inf), where=self.mix > 0)
        least = np.logaddexp.reduce(terms + np.where(own, 0.0, self.log_floors), axis=1, initial=-np.inf)
        least = np.where(self.answered_by < 0, self.log_least, least)
        return np.where(least > -LARGEST_LOG_WEIGHT, np.exp(-least.clip(min=-LARGEST_LOG_WEIGHT)), np.inf)
