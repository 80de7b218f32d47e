"""Estimates and diagnostics of a candidate and the champion on one window of the log."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from banditloop.rl_core.estimators import DR, ESTIMATORS, Estimator, Logged
from banditloop.rl_core.estimators.diagnostics import Diagnostics
from banditloop.rl_core.estimators.reward_model import RewardModel
from banditloop.rl_core.evaluation.log_window import LoggedWindow
from banditloop.rl_core.policies.saved_policy import SavedPolicy

WEIGHT_EDGES = np.array([0, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.7, 1.4, 3, 10, 30, 100, np.inf])


@dataclass
class PolicyEstimates:
    """All estimates and diagnostics of one policy."""

    estimators: dict[str, Estimator]
    action_counts: np.ndarray  # expected number of decisions per candidate [K]
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    weight_counts: np.ndarray = field(  # histogram of the importance weights between WEIGHT_EDGES
        default_factory=lambda: np.zeros(len(WEIGHT_EDGES) - 1, int)
    )

    def add(self, logged: Logged, probabilities: np.ndarray) -> None:
        """Add a batch: logged decisions [B], and the policy's probabilities [B, K]."""
        for estimator in self.estimators.values():
            estimator.add(logged)
        self.diagnostics = self.diagnostics + Diagnostics.of(logged)
        self.weight_counts = self.weight_counts + np.histogram(logged.weight, WEIGHT_EDGES)[0]
        self.action_counts = self.action_counts + probabilities.sum(axis=0)


@dataclass
class SegmentDifferences:
    """Sums of the difference of two policies among users below and above the mean of each feature, each [2, dim]."""

    means: np.ndarray  # of the features [dim]
    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray

    def add(self, observations: np.ndarray, differences: np.ndarray) -> None:
        """Add observations [B, dim] and doubly robust differences [B]."""
        above = (observations > self.means).astype(float)
        for half, members in enumerate((1 - above, above)):
            self.counts[half] += members.sum(axis=0)
            self.sums[half] += differences @ members
            self.squares[half] += differences**2 @ members

    def differences(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean differences and their standard errors [2, dim]; NaN for segments of fewer than two users."""
        counts = np.where(self.counts > 1, self.counts, np.nan)
        means = self.sums / counts
        return means, np.sqrt((self.squares / counts - means**2).clip(0) / (counts - 1))


@dataclass
class Evaluation:
    """The estimates of a candidate and of the champion, and their difference."""

    candidate: PolicyEstimates
    champion: PolicyEstimates
    difference: Estimator  # doubly robust
    segments: SegmentDifferences
    interactions: int
    clipped: int  # rewards outside the task's range


def evaluate(window: LoggedWindow, champion: SavedPolicy, candidate: SavedPolicy) -> Evaluation:
    """Evaluate both policies in two passes over the window: fit the cross-fitted reward model, then estimate.

    Features are those of the candidate's encoding.
    """
    dim, actions = candidate.manifest.dim, len(window.ids)
    model = RewardModel(dim, actions)
    feature_means, clipped = _fit(model, window, candidate)
    sides = _empty_estimates(window.policies.values(), actions), _empty_estimates(window.policies.values(), actions)
    segments = SegmentDifferences(feature_means, *(np.zeros((2, dim)) for _ in range(3)))
    evaluation = Evaluation(*sides, DR(), segments, window.table.num_rows, clipped)
    for batch in window.batches():
        interactions, observations = batch.interactions, candidate.observations(batch.interactions.contexts)
        predictions = model.predict(observations, model.fold(interactions.event_ids))
        logged = window.logged_for(batch, [candidate, champion], predictions)
        for side, (decisions, probabilities) in zip(sides, logged, strict=True):
            side.add(decisions, probabilities)
        (of_candidate, _), (of_champion, _) = logged
        differences = of_candidate.weighted(DR().terms(of_candidate) - DR().terms(of_champion))
        evaluation.difference.add_terms(differences)
        segments.add(observations, differences[:, 0])
    return evaluation


def _fit(model: RewardModel, window: LoggedWindow, candidate: SavedPolicy) -> tuple[np.ndarray, int]:
    """Fit the reward model to the window; return the features' means [dim] and the number of clipped rewards."""
    sums, clipped = np.zeros(candidate.manifest.dim), 0
    for batch in window.batches():
        interactions, observations = batch.interactions, candidate.observations(batch.interactions.contexts)
        folds = model.fold(interactions.event_ids)
        model.add(observations, interactions.actions, interactions.rewards, folds)
        sums, clipped = sums + observations.sum(axis=0), clipped + interactions.clipped
    return sums / max(1, window.table.num_rows), clipped


def _empty_estimates(logging_policies: Iterable[SavedPolicy], actions: int) -> PolicyEstimates:
    """Estimates of no decisions yet; with replay only if all logging policies chose uniformly."""
    uniform = all(policy.manifest.exploration == 1 for policy in logging_policies)
    estimators = {name: kind() for name, kind in ESTIMATORS.items() if uniform or name != "replay"}
    return PolicyEstimates(estimators, np.zeros(actions))
