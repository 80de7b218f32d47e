"""Estimates and diagnostics of a candidate and the champion on one stretch of the log."""

from dataclasses import dataclass, field

import numpy as np

from rl_core.estimators import DR, ESTIMATORS, Estimator, Logged
from rl_core.estimators.diagnostics import Diagnostics
from rl_core.estimators.reward_model import RewardModel
from rl_core.evaluation.stretch import Stretch
from rl_core.policy import SavedPolicy

WEIGHT_EDGES = np.array([0, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.7, 1.4, 3, 10, 30, 100, np.inf])


@dataclass
class Side:
    """Everything that is estimated of one policy."""

    estimators: dict[str, Estimator]
    actions: np.ndarray  # decisions expected of every action [actions]
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    weights: np.ndarray = field(default_factory=lambda: np.zeros(len(WEIGHT_EDGES) - 1, int))  # how many between edges

    def add(self, logged: Logged, probabilities: np.ndarray) -> None:
        """Take in a batch."""
        for estimator in self.estimators.values():
            estimator.add(logged)
        self.diagnostics = self.diagnostics + Diagnostics.of(logged)
        self.weights = self.weights + np.histogram(logged.weight, WEIGHT_EDGES)[0]
        self.actions = self.actions + probabilities.sum(axis=0)


@dataclass
class Segments:
    """The difference of two policies among users below and above the mean of every feature: [2, dim]."""

    means: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray

    def add(self, observations: np.ndarray, differences: np.ndarray) -> None:
        """Take in the observations [B, dim] and doubly robust differences [B] of a batch."""
        above = (observations > self.means).astype(float)
        for half, members in enumerate((1 - above, above)):
            self.counts[half] += members.sum(axis=0)
            self.sums[half] += differences @ members
            self.squares[half] += differences**2 @ members

    def differences(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard errors [2, dim]; NaN where nobody is."""
        counts = np.where(self.counts > 1, self.counts, np.nan)
        means = self.sums / counts
        return means, np.sqrt((self.squares / counts - means**2).clip(0) / (counts - 1))


@dataclass
class Evaluation:
    """A candidate beside the champion."""

    candidate: Side
    champion: Side
    difference: Estimator  # doubly robust
    segments: Segments
    interactions: int
    clipped: int  # rewards outside the environment's bounds


def evaluate(stretch: Stretch, champion: SavedPolicy, candidate: SavedPolicy) -> Evaluation:
    """Go through the stretch twice: to fit the reward model, cross-fitted, and to estimate."""
    dim, actions = candidate.manifest.dim, candidate.manifest.actions
    model, sums, clipped, count = RewardModel(dim, actions), np.zeros(dim), 0, stretch.table.num_rows
    for found, *_ in stretch.batches():
        model.add(found.observations, found.actions, found.rewards, model.fold(found.event_ids))
        sums, clipped = sums + found.observations.sum(axis=0), clipped + found.clipped
    uniform = all(policy.manifest.exploration == 1 for policy in stretch.policies.values())
    kinds = {name: kind for name, kind in ESTIMATORS.items() if uniform or name != "replay"}
    sides = [Side({name: kind() for name, kind in kinds.items()}, np.zeros(actions)) for _ in range(2)]
    segments = Segments(sums / max(1, count), *(np.zeros((2, dim)) for _ in range(3)))
    evaluation = Evaluation(sides[0], sides[1], DR(), segments, count, clipped)
    for batch in stretch.batches():
        found = batch.interactions
        guesses = model.predict(found.observations, model.fold(found.event_ids))
        seen = stretch.beside(batch, [candidate, champion], guesses)
        for side, (logged, probabilities) in zip(sides, seen, strict=True):
            side.add(logged, probabilities)
        differences = seen[0][0].over(DR().terms(seen[0][0]) - DR().terms(seen[1][0]))
        evaluation.difference.take(differences)
        segments.add(found.observations, differences[:, 0])
    return evaluation
