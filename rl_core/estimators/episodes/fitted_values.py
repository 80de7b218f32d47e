"""Values of a target policy's actions, fitted to logged episodes by least squares: linear in features, per action.

Of every step, the value of the action equals the reward plus the discounted value of what the target policy does next.
LSTD-Q solves these equations at once; it is what fitted Q evaluation converges to. An episode is predicted by a model
that was not fitted to it: errors of a model on its own data are too small, and corrections by them as well.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import numpy as np

from banditloop.rl_core.agents.q_features import QEquations
from banditloop.rl_core.agents.transitions import Transitions
from banditloop.rl_core.estimators.episodes.logged_episodes import EpisodeRows, LoggedEpisodes
from banditloop.rl_core.estimators.episodes.step_features import StepFeatures

L2 = 1.0  # in units of a step
FOLDS = 5
BLOCK = 10_000  # steps whose features are in memory at a time


@dataclass(frozen=True)
class FittedValues:
    """The model of a target policy on logged episodes; `fit` gives the episodes their predictions.

    transitions: with single steps. target: the policy's probabilities of all actions [B, actions]. features: of the
    steps, in which the values of every action are linear. An episode that was cut off is over: what is predicted is the
    sum of the rewards up to the cut.
    """

    transitions: Transitions
    target: np.ndarray
    features: StepFeatures
    l2: float = L2

    @cached_property
    def rows(self) -> EpisodeRows:
        """Where the steps stand in [E, T]."""
        return EpisodeRows(self.transitions.episodes)

    @cached_property
    def to_next(self) -> np.ndarray:
        """The discounts of the steps that follow [B]; 0 at the last one of an episode."""
        discounts = self.transitions.discounts.astype(float)
        discounts[np.append(self.rows.starts[1:], len(discounts)) - 1] = 0.0
        return discounts

    @cached_property
    def folds(self) -> np.ndarray:
        """The fold of each step [B], by the content of its episode: the order of episodes does not matter.

        Identical episodes are spread evenly over the folds. If one fold had them all, the model of the other folds, by
        which it is predicted, would never have seen what follows these actions.
        """
        starts, steps = self.rows.starts, self.transitions
        columns = np.column_stack([self.features.observed, steps.actions, steps.propensities.round(9)])
        hashes = [zlib.crc32(part.tobytes()) for part in np.split(columns, starts[1:])]
        _, kinds, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        repeats = np.empty(len(hashes), int)
        by_kind = np.lexsort((np.add.reduceat(steps.rewards, starts), kinds))
        repeats[by_kind] = np.arange(len(hashes)) - np.repeat(counts.cumsum() - counts, counts)
        return ((kinds + repeats) % FOLDS)[self.rows.episode]

    def fit(self, *episodes: LoggedEpisodes) -> list[LoggedEpisodes]:
        """The same episodes, of one or several rewards, with predictions and each episode's influence on the fit."""
        rows, shares = self.rows, episodes[0].shares
        share = shares[rows.episode]
        rewards = np.stack([each.rewards[rows.episode, rows.ordinal] for each in episodes], axis=1)
        by_fold = self._equations(rewards, len(shares) * share)
        predicted, expected = self._predictions(by_fold)
        errors = rewards + self.to_next[:, None] * np.roll(expected, -1, axis=0) - predicted
        weights = (len(shares) ** 2 * share * self._visits(by_fold, shares))[:, None]
        influences = np.add.reduceat(weights * errors, rows.starts)
        return [
            replace(each, predicted=rows.pad(q), expected=rows.pad(v), fit_influence=influence)
            for each, q, v, influence in zip(episodes, predicted.T, expected.T, influences.T, strict=True)
        ]

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """The folds, and positions of steps in each, a part at a time."""
        for start in range(0, len(self.folds), BLOCK):
            for fold in range(FOLDS):
                yield fold, start + np.flatnonzero(self.folds[start : start + BLOCK] == fold)

    def _equations(self, rewards: np.ndarray, weights: np.ndarray) -> list[QEquations]:
        """The equations of each fold's steps, of R rewards [B, R], with weights [B]."""
        by_fold: dict[int, QEquations] = {}
        for fold, rows in self._blocks():
            following = (rows + 1) % len(weights)  # of the last step of all it does not matter
            chosen_next = self.target[following] * self.to_next[rows, None]
            steps = self.features(rows), self.transitions.actions[rows], rewards[rows]
            part = QEquations.of(*steps, self.features(following), chosen_next, weights[rows])
            by_fold[fold] = by_fold[fold].plus(part) if fold in by_fold else part
        return [by_fold[fold] for fold in range(FOLDS)]

    def _predictions(self, by_fold: Sequence[QEquations]) -> tuple[np.ndarray, np.ndarray]:
        """Q of the logged actions and V, of R rewards [B, R], each by the model of the other folds."""
        total = reduce(QEquations.plus, by_fold)
        models = [total.minus(equations).solve(self.l2) for equations in by_fold]
        predicted, expected = np.zeros((2, len(self.folds), total.vector.shape[-1]))
        for fold, rows in self._blocks():
            values = np.tensordot(self.features(rows), models[fold], (1, 1))  # [rows, actions, R]
            predicted[rows] = values[np.arange(len(rows)), self.transitions.actions[rows]]
            expected[rows] = (values * self.target[rows, :, None]).sum(axis=1)
        return predicted, expected

    def _visits(self, by_fold: Sequence[QEquations], shares: np.ndarray) -> np.ndarray:
        """How often the target policy reaches each step's state and action, discounted, relative to the log [B].

        By the transposed equations, with the target policy's first actions.
        """
        starts, visits = self.rows.starts, np.zeros(len(self.folds))
        first = np.einsum("e,ea,ef->af", shares, self.target[starts], self.features(starts))
        weights = reduce(QEquations.plus, by_fold).transposed(first).solve(self.l2)
        for _, rows in self._blocks():
            visits[rows] = (self.features(rows) * weights[self.transitions.actions[rows]]).sum(axis=1)
        return visits
