"""Estimates and diagnostics of a candidate and the champion on one window of the log."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from banditloop.rl_core.estimators import ESTIMATORS, Estimator, Logged
from banditloop.rl_core.estimators.diagnostics import Diagnostics
from banditloop.rl_core.estimators.difference import Difference
from banditloop.rl_core.estimators.reward_model import RewardModel
from banditloop.rl_core.estimators.value_interval import ValueSums, value_terms
from banditloop.rl_core.evaluation.action_rewards import ActionRewards
from banditloop.rl_core.evaluation.log_window import LoggedWindow
from banditloop.rl_core.policies.saved_policy import SavedPolicy

WEIGHT_EDGES = np.array([0, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.7, 1.4, 3, 10, 30, 100, np.inf])
TERMS = 5  # of `value_terms` for two policies with a reward model


@dataclass
class PolicyEstimates:
    """All estimates and diagnostics of one policy."""

    estimators: dict[str, Estimator]
    action_counts: np.ndarray  # expected number of decisions per candidate [K], in all traffic
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
        self.action_counts = self.action_counts + logged.sample_weights() @ probabilities


@dataclass
class SegmentDifferences:
    """Sums for the difference of two policies among users below and above the mean of each feature."""

    means: np.ndarray  # of the features [dim]
    total: ValueSums  # of all users
    counts: np.ndarray  # of decisions [2, dim]
    sums: np.ndarray  # of the terms of `value_terms` [2, dim, TERMS]
    products: np.ndarray  # of the terms [2, dim, TERMS²]

    @classmethod
    def empty(cls, means: np.ndarray) -> Self:
        """No decisions yet; means: of the features [dim]."""
        shape = 2, len(means)
        return cls(means, ValueSums(), np.zeros(shape, int), np.zeros((*shape, TERMS)), np.zeros((*shape, TERMS**2)))

    def add(self, observations: np.ndarray, candidate: Logged, champion: Logged) -> None:
        """Add observations [B, dim] with the decisions of either policy."""
        terms, above = value_terms(candidate, champion, with_model=True), observations > self.means
        products = (terms[:, :, None] * terms[:, None, :]).reshape(len(terms), TERMS**2)
        self.total = self.total + ValueSums.of(candidate, champion, with_model=True)
        for half, members in enumerate((~above, above)):
            self.counts[half] += members.sum(axis=0)
            self.sums[half] += members.T.astype(float) @ terms
            self.products[half] += members.T.astype(float) @ products

    def difference(self, half: int, feature: int) -> Difference:
        """The difference among users below (half 0) or above (1) the mean of a feature."""
        sums, products = self.sums[half, feature], self.products[half, feature].reshape(TERMS, TERMS)
        return Difference(replace(self.total, count=int(self.counts[half, feature]), sums=sums, products=products))

    def fraction(self, half: int, feature: int) -> float:
        """The fraction of all traffic that these users are."""
        return float(self.sums[half, feature, -1] / self.sums[:, feature, -1].sum())


@dataclass
class Evaluation:
    """The estimates of a candidate and of the champion, and their difference."""

    candidate: PolicyEstimates
    champion: PolicyEstimates
    difference: Difference  # doubly robust
    segments: SegmentDifferences
    earned: ActionRewards
    interactions: int


def evaluate(window: LoggedWindow, champion: SavedPolicy | None, candidate: SavedPolicy) -> Evaluation:
    """Evaluate both policies in two passes over the window: fit the cross-fitted reward model, then estimate.

    champion None: the logging policy. Features are those of the candidate's encoding.
    """
    dim, actions = candidate.manifest.dim, len(window.ids)
    model = RewardModel(dim, actions)
    feature_means = _fit(model, window, candidate)
    sides = _empty_estimates(window, actions), _empty_estimates(window, actions)
    segments = SegmentDifferences.empty(feature_means)
    earned = ActionRewards.empty(actions)
    evaluation = Evaluation(*sides, Difference(), segments, earned, window.table.num_rows)
    for batch in window.batches():
        interactions, observations = batch.interactions, candidate.observations(batch.interactions.contexts)
        predictions = model.predict(observations, model.fold(interactions.event_ids))
        logged = window.logged_for(batch, [candidate, champion], predictions)
        for side, (decisions, probabilities) in zip(sides, logged, strict=True):
            side.add(decisions, probabilities)
        (of_candidate, _), (of_champion, _) = logged
        evaluation.difference = evaluation.difference.add(of_candidate, of_champion)
        segments.add(observations, of_candidate, of_champion)
        earned.add(interactions.actions, interactions.rewards, of_candidate.sample_weights())
    return evaluation


def _fit(model: RewardModel, window: LoggedWindow, candidate: SavedPolicy) -> np.ndarray:
    """Fit the reward model to the window; return the features' means [dim]."""
    sums = np.zeros(candidate.manifest.dim)
    for batch in window.batches():
        interactions, observations = batch.interactions, candidate.observations(batch.interactions.contexts)
        folds = model.fold(interactions.event_ids)
        model.add(observations, interactions.actions, interactions.rewards, folds)
        sums = sums + observations.sum(axis=0)
    return sums / max(1, window.table.num_rows)


def _empty_estimates(window: LoggedWindow, actions: int) -> PolicyEstimates:
    """Estimates of no decisions yet; with replay only if all logging policies are known to have chosen uniformly."""
    known = (window.logged_by >= 0).all()
    uniform = known and all(policy.manifest.exploration == 1 for policy in window.policies.values())
    estimators = {name: kind() for name, kind in ESTIMATORS.items() if uniform or name != "replay"}
    return PolicyEstimates(estimators, np.zeros(actions))
