"""The propensity audit of a policy version: whether actions were chosen as often as their logged probabilities say."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from banditloop.rl_core.agents import append_zeros
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.candidates import action_positions, logged_ids, logged_probabilities
from banditloop.rl_core.events.schema import split_by_version

MIN_EXPECTED_COUNT = 5.0  # expected decisions an action needs for a χ² cell of its own
TOLERANCE = 1e-6
AUDIT_NUMBERS = 4_000_000  # at a time: each row takes a number per candidate
MAX_CELLS = 300  # actions with a χ² cell of their own: the test's time grows with their cube
MIN_VARIANCE_RATIO = 25.0  # variance needed for the normal test, in squares of the largest 1 / probability


@dataclass(frozen=True)
class PropensityAudit:
    """Sums over decisions among K actions, and tests of them; `PropensityAudit.of` computes them for a batch.

    First, a consistency check: the propensity is the probability of the action, and the probabilities sum to 1.
    Second, a χ² test of the counts O of the actions against their expectation E = Σ p, with covariance
    Σ diag(p) - p pᵀ because the probabilities differ between decisions; rare actions share one cell, and so do all
    actions from position MAX_CELLS on, whose counts are kept as one.
    Third, a normal test of the mean of 1 / propensity. Its expectation is the number K of possible actions, whatever
    the policy, since Σ p / p = K; its variance is Σ 1 / p - K². Both tests abstain on too few decisions.

    Audits of disjoint decisions merge by addition.
    """

    count: int
    inconsistent: int  # decisions that fail the consistency check
    expected_counts: np.ndarray  # E [cells], where cells = K, or MAX_CELLS + 1 if that is less
    excess_counts: np.ndarray  # O - E [cells]
    covariance: np.ndarray  # of the counts [cells, cells]
    inverse_excess: float  # Σ (1 / propensity - K)
    inverse_variance: float  # Σ (Σ 1 / p - K²)
    max_inverse: float  # largest 1 / p of any action

    @classmethod
    def of(cls, actions: np.ndarray, propensities: np.ndarray, probabilities: np.ndarray) -> Self:
        """The audit of decisions: actions [B], propensities [B], all positive, probabilities [B, K]."""
        possible = probabilities > 0
        possible_actions, cells = possible.sum(axis=1), _cells(probabilities)
        expected_counts = cells.sum(axis=0)
        inverse = np.divide(1, probabilities, out=np.zeros(probabilities.shape), where=possible)
        errors = np.abs(probabilities[np.arange(len(actions)), actions] - propensities)
        inconsistent = (errors > TOLERANCE) | (np.abs(probabilities.sum(axis=1) - 1) > TOLERANCE)
        return cls(
            count=len(actions),
            inconsistent=int(inconsistent.sum()),
            expected_counts=expected_counts,
            excess_counts=np.bincount(np.minimum(actions, MAX_CELLS), minlength=len(expected_counts)) - expected_counts,
            covariance=np.diag(expected_counts) - cells.T @ cells,
            inverse_excess=float((1 / propensities - possible_actions).sum()),
            inverse_variance=float((inverse.sum(axis=1) - possible_actions**2).sum()),
            max_inverse=float(inverse.max(initial=0.0)),
        )

    def __add__(self, other: Self) -> Self:
        """The audit of both; that of fewer actions is of the first of them."""
        size = max(len(self.expected_counts), len(other.expected_counts))
        left, right = self._padded(size), other._padded(size)
        sums = {f.name: getattr(left, f.name) + getattr(right, f.name) for f in fields(self)}
        return type(self)(**sums | {"max_inverse": max(self.max_inverse, other.max_inverse)})

    def _padded(self, size: int) -> Self:
        """This audit among `size` actions, of which the added ones were never possible."""
        return replace(
            self,
            expected_counts=append_zeros(self.expected_counts, size),
            excess_counts=append_zeros(self.excess_counts, size),
            covariance=append_zeros(append_zeros(self.covariance, size), size, axis=1),
        )

    def chi_square(self) -> float:
        """The p-value of the χ² test of the actions' counts; 1 if there are too few decisions."""
        rare = self.expected_counts < MIN_EXPECTED_COUNT
        cells = np.vstack([np.eye(len(rare))[~rare], rare[None, :]])
        cells = cells[cells @ self.expected_counts >= MIN_EXPECTED_COUNT]
        excess, covariance = cells @ self.excess_counts, cells @ self.covariance @ cells.T
        freedom = np.linalg.matrix_rank(covariance, rtol=1e-9, hermitian=True) if len(cells) else 0
        if not freedom:
            return 1.0
        statistic = excess @ np.linalg.pinv(covariance, rcond=1e-9, hermitian=True) @ excess
        return float(stats.chi2.sf(statistic, freedom))

    def inverse_propensity(self) -> float:
        """The p-value of the normal test of the mean of 1 / propensity; 1 if there are too few decisions."""
        if self.inverse_variance < MIN_VARIANCE_RATIO * self.max_inverse**2:
            return 1.0
        return float(2 * stats.norm.sf(abs(self.inverse_excess) / np.sqrt(self.inverse_variance)))

    def explain(self) -> str:
        """The results of the check and of both tests, for an error message."""
        return (
            f"{self.inconsistent:,} of {self.count:,} decisions have inconsistent probabilities; "
            f"p = {self.chi_square():.1e} for the counts of the actions, "
            f"p = {self.inverse_propensity():.1e} for the mean of 1/propensity"
        )

    def passes(self, level: float = 1e-6) -> bool:
        """Whether all decisions are consistent and neither test rejects.

        Correct propensities fail with a probability of about 2 level, level for each of the two tests.
        """
        return not self.inconsistent and min(self.chi_square(), self.inverse_propensity()) >= level


def _cells(probabilities: np.ndarray) -> np.ndarray:
    """The probabilities [B, K] with those from position MAX_CELLS on as one, their sum."""
    if probabilities.shape[1] <= MAX_CELLS:
        return probabilities
    rest = probabilities[:, MAX_CELLS:].sum(axis=1, keepdims=True)
    return np.hstack([probabilities[:, :MAX_CELLS], rest])


def audit_propensities(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pass interactions through unchanged while auditing them per policy version.

    Raises:
        InvalidInput: after the last batch, if a version's propensities contradict its actions.
    """
    audits: dict[str, PropensityAudit] = {}
    ids: dict[str, None] = {}  # of all candidates so far, in order
    for batch in batches:
        yield batch
        # Decisions of the application state its own propensities: they are trained on without an audit.
        own = pa.table(batch.filter(pc.not_equal(batch["mode"], "external")))
        ids |= dict.fromkeys(logged_ids(own))
        rows = max(1, AUDIT_NUMBERS // max(1, len(ids)))
        for start in range(0, own.num_rows, rows):
            for version, interactions in split_by_version(own.slice(start, rows)):
                audit = _audit(interactions, list(ids))
                audits[version] = audits[version] + audit if version in audits else audit
    failures = [f"{version}: {audit.explain()}" for version, audit in audits.items() if not audit.passes()]
    if failures:
        raise InvalidInput(f"propensity audit: logged propensities contradict the actions of {'; '.join(failures)}")


def _audit(interactions: pa.Table, ids: list[str]) -> PropensityAudit:
    """The audit of interactions of one version, among candidates of these ids."""
    actions, propensities = action_positions(interactions, ids), interactions["propensity"].to_numpy()
    return PropensityAudit.of(actions, propensities, logged_probabilities(interactions, ids))
