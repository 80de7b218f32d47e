"""Values of a target policy's actions, fitted to logged episodes by least squares: linear in features, per action.

Of every step, the value of the action equals the reward plus the discounted value of what the target policy does next.
LSTD-Q solves these equations at once; it is what fitted Q evaluation converges to. An episode is predicted by a model
that was not fitted to it: errors of a model on its own data are too small, and corrections by them as well.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import numpy as np

from banditloop.rl_core.agents.q_features import QEquations, QFeatures
from banditloop.rl_core.agents.transitions import Transitions
from banditloop.rl_core.estimators.episodes.logged_episodes import EpisodeRows, LoggedEpisodes

L2 = 1.0  # in units of a step
FOLDS = 5
MOST_UNKNOWNS = 3_000  # of linear equations, which take half a gigabyte


@dataclass(frozen=True)
class FittedValues:
    """The model of a target policy on logged episodes; `fit` gives the episodes their predictions.

    transitions: with single steps. target: the policy's probabilities of all actions [B, actions]. features: [B, F], in
    which the values of every action are linear. An episode that was cut off is over: what is predicted is the sum of
    the rewards up to the cut.
    """

    transitions: Transitions
    target: np.ndarray
    features: np.ndarray
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
        """The fold of each step [B], by what happened in its episode: the order of episodes does not matter.

        Of episodes in which the same happened, the folds get equal numbers. If one had them all, the models of the
        others would never have seen what follows these actions, and would be wrong by what the target policy does.
        """
        columns = np.column_stack([self.features, self.transitions.actions, self.transitions.propensities])
        parts = np.split(columns, self.rows.starts[1:])
        _, kinds, counts = np.unique(
            [zlib.crc32(part.tobytes()) for part in parts], return_inverse=True, return_counts=True
        )
        order = np.argsort(kinds, kind="stable")
        repeats = np.empty(len(parts), int)
        repeats[order] = np.arange(len(parts)) - np.repeat(counts.cumsum() - counts, counts)
        return ((kinds + repeats) % FOLDS)[self.rows.episode]

    def fit(self, *episodes: LoggedEpisodes) -> list[LoggedEpisodes]:
        """The same episodes, of one reward or of several, with predictions, and each one's influence on the fit."""
        rows, x, actions, shares = self.rows, self.features, self.transitions.actions, episodes[0].shares
        share = shares[rows.episode]
        rewards = np.stack([each.rewards[rows.episode, rows.ordinal] for each in episodes], axis=1)
        by_fold = self._equations(rewards, len(shares) * share)
        values = self._values(by_fold)
        predicted, expected = values[np.arange(len(x)), actions], (values * self.target[:, :, None]).sum(axis=1)
        errors = rewards + self.to_next[:, None] * np.roll(expected, -1, axis=0) - predicted
        visits = (x * self._visits(by_fold, shares)[actions]).sum(axis=1)
        influences = len(shares) ** 2 * np.add.reduceat((share * visits)[:, None] * errors, rows.starts)
        return [
            replace(each, predicted=rows.pad(q), expected=rows.pad(v), fit_influence=influence)
            for each, q, v, influence in zip(episodes, predicted.T, expected.T, influences.T, strict=True)
        ]

    def _equations(self, rewards: np.ndarray, weights: np.ndarray) -> list[QEquations]:
        """The equations of each fold's steps, of R rewards [B, R], with weights [B]."""
        next_features, following = np.roll(self.features, -1, axis=0), np.roll(self.target, -1, axis=0)
        following = following * self.to_next[:, None]
        columns = self.features, self.transitions.actions, rewards, next_features, following, weights
        return [QEquations.of(*(column[self.folds == fold] for column in columns)) for fold in range(FOLDS)]

    def _values(self, by_fold: Sequence[QEquations]) -> np.ndarray:
        """The values of all actions in each step, of R rewards [B, actions, R], by the model of the other folds."""
        total = reduce(QEquations.plus, by_fold)
        values = np.zeros((*self.target.shape, total.vector.shape[-1]))
        for fold, equations in enumerate(by_fold):
            inside = self.folds == fold
            values[inside] = np.einsum("bf,afr->bar", self.features[inside], total.minus(equations).solve(self.l2))
        return values

    def _visits(self, by_fold: Sequence[QEquations], shares: np.ndarray) -> np.ndarray:
        """Weights [actions, F] with which x is how often the target policy comes to a state and action, discounted.

        As a multiple of how often the log does: the transposed equations, with the target policy's first actions.
        """
        starts = self.rows.starts
        first = np.einsum("e,ea,ef->af", shares, self.target[starts], self.features[starts])
        return reduce(QEquations.plus, by_fold).transposed(first).solve(self.l2)


def observed_features(transitions: Transitions, actions: int) -> np.ndarray | None:
    """Random features of the observations [B, F], and of the step where values depend on it.

    None without observations, and where the values of all actions would have more than `MOST_UNKNOWNS` unknowns.
    """
    observed = transitions.observations
    if not observed.shape[1]:
        return None
    if depends_on_step(transitions):
        observed = np.column_stack([observed, transitions.steps])
    if (1 + observed.shape[1]) * actions > MOST_UNKNOWNS:
        return None
    return QFeatures.fit(observed, actions)(observed)


def depends_on_step(transitions: Transitions) -> bool:
    """Whether values depend on the step: some episode was cut off, or rewards are not discounted."""
    return not transitions.is_known.all() or bool((transitions.discounts >= 1).any())
