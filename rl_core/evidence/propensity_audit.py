"""The propensity audit of a policy version: whether actions were chosen as often as their logged probabilities say."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Self

import numpy as np

from banditloop.rl_core.evidence.tilted_odds import log_likelihood_ratios

LEVEL = 2e-6  # probability that correct propensities of a version ever fail
ALARM_LEVEL = 0.01  # probability that one evaluation of a log raises an alarm although its propensities are right
TOLERANCE = 1e-6
GREEDY_ODDS = np.array([1 / 3, 1 / 1.2, 1.2, 3])  # by how much the odds of the most probable action may be wrong
UNIFORM_SHARES = np.array([0.01, 0.1])  # fractions of uniformly drawn actions that may be mixed in
PRIOR_COUNTS = np.array([3.0, 30.0, 300.0])  # pseudo-counts of the learned alternatives: how slowly they learn
WEIGHTS = np.array([0.1, 0.2, 0.2, 0.1, *[0.05] * 2, *[0.1] * 3])  # of all alternatives, in this order
CELLS = 1024  # of actions: their ids are hashed, so that the counts of any number of actions have one size
MIN_BLOCK, MAX_BLOCK = 16, 256  # decisions after which the learned alternatives are updated


@dataclass(frozen=True)
class PropensityAudit:
    """Evidence that the actions of decisions were not drawn from their logged probabilities p; any number may be added.

    First, a consistency check: the propensity is the probability of the action, and the probabilities sum to 1.
    Second, a test by betting. An alternative q gives each decision's candidates other probabilities; its wealth, the
    product of q(action) / p(action), has a mean of exactly 1 where the action is drawn from p, since Σ p q / p = 1. The
    mean wealth of all alternatives ever reaches 1 / level with probability at most `level`: at every number of
    decisions, over all windows together. The alternatives:

    * the odds of the most probable action are higher or lower by a factor, as if exploration were mis-stated;
    * a fraction of the actions is drawn uniformly;
    * q ∝ p (chosen + c) / (expected + c), where the counts of each action in earlier decisions tell how often it was
      chosen and how often it should have been. Decisions for which it was the most probable action are counted
      separately, for all actions together.

    Audits of disjoint decisions merge by addition.
    """

    count: int = 0
    inconsistent: int = 0  # decisions that fail the consistency check; no bets are made on them
    chosen: np.ndarray = field(default_factory=lambda: np.zeros(CELLS + 1))  # last: the most probable action
    expected: np.ndarray = field(default_factory=lambda: np.zeros(CELLS + 1))
    log_wealths: np.ndarray = field(default_factory=lambda: np.zeros(len(WEIGHTS)))

    @classmethod
    def of(cls, actions: np.ndarray, propensities: np.ndarray, probabilities: np.ndarray) -> Self:
        """The audit of decisions among numbered actions; arguments as in `add`."""
        return cls().add(actions, propensities, probabilities)

    def add(
        self,
        actions: np.ndarray,
        propensities: np.ndarray,
        probabilities: np.ndarray,
        ids: Sequence[str] | None = None,
        bet: np.ndarray | None = None,
    ) -> Self:
        """The audit with more decisions, in the order of the log.

        actions [B], positions among the K candidates; propensities [B]; probabilities [B, K]; ids [K] of the
        candidates, the positions if None; bet: on which decisions to bet, bool [B], on all if None. The others are only
        checked for consistency.
        """
        row, sums = np.arange(len(actions)), probabilities.sum(axis=1)
        own = np.where(actions >= 0, probabilities[row, actions], 0.0)
        consistent = (own > 0) & (np.abs(own - propensities) <= TOLERANCE) & (np.abs(sums - 1) <= TOLERANCE)
        rows = np.flatnonzero(consistent if bet is None else consistent & bet)
        cells = np.array(range(probabilities.shape[1]) if ids is None else [zlib.crc32(id.encode()) for id in ids])
        audit = replace(
            self, count=self.count + len(actions), inconsistent=self.inconsistent + int((~consistent).sum())
        )
        return audit._bet(actions[rows], probabilities[rows] / sums[rows, None], cells % CELLS) if len(rows) else audit

    def _bet(self, actions: np.ndarray, probabilities: np.ndarray, cells: np.ndarray) -> Self:
        """The audit after bets on decisions; cells [K] of the candidates."""
        row, greedy = np.arange(len(actions)), probabilities.argmax(axis=1)
        greedy_probabilities, is_greedy = probabilities[row, greedy], actions == greedy
        inverse = 1 / (probabilities[row, actions] * (probabilities > 0).sum(axis=1))
        shares = np.column_stack([probabilities, greedy_probabilities])  # the most probable action's: in the last one
        shares[row, greedy] = 0.0
        used, place = np.unique(np.append(cells, CELLS), return_inverse=True)
        chosen_place = place[np.where(is_greedy, -1, actions)]
        ends = _blocks(round(self.expected.sum()), len(actions))
        block = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        chosen = np.bincount(block * len(used) + chosen_place, minlength=len(used) * (len(ends) - 1))
        chosen, expected = chosen.reshape(-1, len(used)), np.zeros((len(ends) - 1, len(used)))
        np.add.at(expected.T, place, np.add.reduceat(shares, ends[:-1]).T)
        ratios = _ratios(self.chosen[used] + _before(chosen), self.expected[used] + _before(expected))
        pairs = zip(pairwise(ends), ratios, strict=True)
        normalisers = np.concatenate([shares[start:end] @ ratio[:, place].T for (start, end), ratio in pairs])
        growth = [
            log_likelihood_ratios(is_greedy, greedy_probabilities, GREEDY_ODDS),
            np.log1p(UNIFORM_SHARES * (inverse[:, None] - 1)),
            np.log(ratios[block, :, chosen_place] / normalisers),
        ]
        return replace(
            self,
            chosen=self.chosen + np.bincount(used, chosen.sum(axis=0), CELLS + 1),
            expected=self.expected + np.bincount(used, expected.sum(axis=0), CELLS + 1),
            log_wealths=self.log_wealths + np.concatenate([logs.sum(axis=0) for logs in growth]),
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def log_wealth(self) -> float:
        """The logarithm of the alternatives' mean wealth: the odds against chance."""
        return float(np.logaddexp.reduce(self.log_wealths + np.log(WEIGHTS)))

    def passes(self, level: float = LEVEL) -> bool:
        """Whether all decisions are consistent and the test does not reject.

        Correct propensities ever fail with a probability of at most `level`, over all audits of the version together.
        """
        return not self.inconsistent and self.log_wealth() < -math.log(level)

    def explain(self) -> str:
        """The results of the check and of the test, for an error message."""
        bets = self.expected.sum()
        text = f"{self.inconsistent:,} of {self.count:,} decisions have inconsistent probabilities"
        if not bets:
            return text
        greedy, expected = self.chosen[CELLS] / bets, self.expected[CELLS] / bets
        odds = f"odds of {math.exp(min(self.log_wealth(), 700)):.2g} to 1 that actions were not drawn from theirs"
        return f"{text}; {odds} (the most probable action: {greedy:.2%} of {bets:,.0f}, expected {expected:.2%})"


def _before(counts: np.ndarray) -> np.ndarray:
    """The sums of the rows before each row."""
    return counts.cumsum(axis=0) - counts


def _ratios(chosen: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How often cells were chosen, divided by how often they should have been [blocks, alternatives, cells]."""
    return (chosen[:, None] + PRIOR_COUNTS[:, None]) / (expected[:, None] + PRIOR_COUNTS[:, None])


def _blocks(bets: int, decisions: int) -> np.ndarray:
    """The positions where blocks of decisions start, after `bets` earlier ones, and where the last block ends."""
    starts = [0]
    while starts[-1] < decisions:
        starts.append(starts[-1] + min(max(bets + starts[-1], MIN_BLOCK), MAX_BLOCK))
    return np.array([*starts[:-1], decisions])


Audits = dict[str, PropensityAudit]  # by policy version, the latest in the log last
