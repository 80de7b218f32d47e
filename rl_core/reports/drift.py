"""Drift of rewards and observations between two periods, and the greedy value of the served policy."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.estimators.confidence_sequence import ConfidenceSequence
from banditloop.rl_core.evaluation.interactions import Interactions
from banditloop.rl_core.policies.saved_policy import SavedPolicy

SAMPLE_ROWS = 5_000  # observations kept of each of the two periods
MAX_P_VALUE, MIN_DISTANCE = 0.01, 0.1  # a feature has drifted if p is below and the Kolmogorov-Smirnov distance above


@dataclass
class RewardStats:
    """The rewards of one version so far, scaled to [0, 1], with bounds that are valid at every time."""

    count: int = 0
    total: float = 0.0
    bounds: ConfidenceSequence = field(default_factory=ConfidenceSequence)

    def add(self, rewards: np.ndarray) -> None:
        """Add rewards [B]."""
        ones = np.ones(len(rewards))
        self.count, self.total = self.count + len(rewards), self.total + float(rewards.sum())
        self.bounds = self.bounds.add(Logged(rewards, ones, ones))

    def mean(self) -> float:
        """The mean reward."""
        return self.total / self.count


@dataclass
class ObservationSample:
    """A sample of the observations of a period [at most SAMPLE_ROWS, dim]."""

    parts: list[np.ndarray] = field(default_factory=list)
    rows: int = 0

    def add(self, observations: np.ndarray, limit: int) -> None:
        """Add the first observations of a batch [B, dim], until the sample has `limit` rows."""
        part = observations[: max(0, limit - self.rows)]
        self.parts.append(part)
        self.rows += len(part)


class FeatureDrift(NamedTuple):
    """The change of one feature's distribution between training and serving."""

    feature: str
    training_mean: float
    recent_mean: float
    p_value: float  # corrected for the number of features
    drifted: bool


def drifted_features(
    training: ObservationSample, recent: ObservationSample, names: Sequence[str]
) -> list[FeatureDrift]:
    """The drift of every feature of these names [dim], or nothing if either sample is empty.

    Two-sample Kolmogorov-Smirnov tests with Bonferroni correction. A feature has drifted only if the distance is large
    too: with many observations tiny shifts are significant.
    """
    if not (training.rows and recent.rows):
        return []
    from scipy.stats import ks_2samp  # takes half a second to import

    before, after = np.concatenate(training.parts), np.concatenate(recent.parts)
    drifts = []
    for feature, name in enumerate(names):
        test = ks_2samp(before[:, feature], after[:, feature], method="asymp")
        p_value = min(1.0, float(test.pvalue) * before.shape[1])
        means = float(before[:, feature].mean()), float(after[:, feature].mean())
        drifted = bool(p_value < MAX_P_VALUE and test.statistic > MIN_DISTANCE)
        drifts.append(FeatureDrift(name, *means, p_value, drifted))
    return drifts


def drifted_reward(before: RewardStats, after: RewardStats) -> str:
    """ "fallen" or "risen" if the bounds of the two periods do not overlap, else ""."""
    if not (before.count and after.count):
        return ""
    (low, high), (low_after, high_after) = before.bounds.interval(), after.bounds.interval()
    return "fallen" if high_after < low else "risen" if low_after > high else ""


def greedy_terms(policy: SavedPolicy, observations: np.ndarray, batch: Interactions) -> Logged:
    """Interactions logged by the policy itself, with its greedy policy as the target policy.

    observations [B, dim]: of the batch, by the policy's encoding.
    """
    row = np.arange(len(batch.actions)), batch.actions
    propensity = policy.probabilities(observations, batch.candidates)[row]
    return Logged(batch.rewards, propensity, policy.greedy_probabilities(observations, batch.candidates)[row])
