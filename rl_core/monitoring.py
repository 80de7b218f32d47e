"""Monitoring of what is served: rewards with bounds that hold at every look, drift, the cost of exploration."""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from rl_core.estimators import Logged
from rl_core.estimators.sequential import ConfidenceSequence
from rl_core.evaluation.stretch import Interactions
from rl_core.policy import SavedPolicy

SAMPLE = 5_000  # observations kept of a time, to compare with those of another
LEVEL, EFFECT = 0.01, 0.1  # of the test, and of the shift (Kolmogorov-Smirnov): a drift to mind has both


@dataclass
class Earned:
    """The rewards of one version so far, in [0, 1]."""

    count: int = 0
    total: float = 0.0
    bounds: ConfidenceSequence = field(default_factory=ConfidenceSequence)

    def add(self, rewards: np.ndarray) -> None:
        """Take in rewards [B]."""
        ones = np.ones(len(rewards))
        self.count, self.total = self.count + len(rewards), self.total + float(rewards.sum())
        self.bounds = self.bounds.add(Logged(rewards, ones, ones))

    def mean(self) -> float:
        """The mean reward."""
        return self.total / self.count


@dataclass
class Sample:
    """Some observations of a time [at most SAMPLE, dim]."""

    parts: list[np.ndarray] = field(default_factory=list)
    rows: int = 0

    def add(self, observations: np.ndarray, at_most: int) -> None:
        """Take in the first of a batch."""
        part = observations[: min(at_most, SAMPLE - self.rows)]
        self.parts.append(part)
        self.rows += len(part)


def drifted_features(then: Sample, now: Sample) -> list[tuple[int, float, float, float, bool]]:
    """Per feature: its number, its mean then and now, the p-value of a change, and whether it is one to mind.

    Two-sample Kolmogorov-Smirnov tests, corrected for their number (Bonferroni). Tiny shifts that only many
    observations tell are not minded.
    """
    if not (then.rows and now.rows):
        return []
    before, after = np.concatenate(then.parts), np.concatenate(now.parts)
    found = []
    for feature in range(before.shape[1]):
        test = stats.ks_2samp(before[:, feature], after[:, feature], method="asymp")
        p = min(1.0, float(test.pvalue) * before.shape[1])
        means = float(before[:, feature].mean()), float(after[:, feature].mean())
        found.append((feature, *means, p, bool(p < LEVEL and test.statistic > EFFECT)))
    return found


def drifted_reward(then: Earned, now: Earned) -> str:
    """fallen or risen, where the bounds of two times have nothing in common; else nothing."""
    if not (then.count and now.count):
        return ""
    (low, high), (now_low, now_high) = then.bounds.interval(), now.bounds.interval()
    return "fallen" if now_high < low else "risen" if now_low > high else ""


def greedy_terms(policy: SavedPolicy, batch: Interactions) -> Logged:
    """A policy's own interactions beside its best guesses, taken without exploration."""
    row = np.arange(len(batch.actions)), batch.actions
    propensity = policy.probabilities(batch.observations)[row]
    return Logged(batch.rewards, propensity, policy.greedy(batch.observations)[row])
