"""The propensity audit of one version: whether actions were chosen as often as their logged probabilities say."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from rl_core.errors import InvalidInput
from rl_core.schema import by_version

ENOUGH = 5.0  # decisions expected of an arm before it counts alone
TOLERANCE = 1e-6
CALM = 25.0  # how many times the largest single surprise the evidence must be worth


@dataclass(frozen=True)
class Audit:
    """Sums over decisions of K actions; `Audit.of` makes one of a batch, and they merge by addition.

    First, a decision must not contradict itself: its propensity is that of its action among its probabilities, which
    sum to 1. Then two tests. χ² of the actions' counts O against their expectation E = Σ p, with the covariance
    Σ diag(p) - p pᵀ that probabilities which differ from decision to decision have; rare arms are counted together.
    And the mean of 1 / propensity, which is the number K of possible actions whatever the policy, as Σ p / p is, with
    its exact variance Σ 1 / p - K². Either abstains while there is too little to tell.
    """

    count: int
    contradictions: int
    expected: np.ndarray  # E [K]
    surplus: np.ndarray  # O - E [K]
    covariance: np.ndarray  # [K, K]
    inverse: float  # Σ 1 / propensity - K
    variance: float
    largest: float  # 1 / p of any action

    @classmethod
    def of(cls, actions: np.ndarray, propensities: np.ndarray, probabilities: np.ndarray) -> Self:
        """The audit of decisions: actions [B], propensities [B], all positive, probabilities [B, K]."""
        possible = probabilities > 0
        arms, expected = possible.sum(axis=1), probabilities.sum(axis=0)
        inverse = np.divide(1, probabilities, out=np.zeros(probabilities.shape), where=possible)
        own = probabilities[np.arange(len(actions)), actions]
        contradicts = (np.abs(own - propensities) > TOLERANCE) | (np.abs(probabilities.sum(axis=1) - 1) > TOLERANCE)
        return cls(
            len(actions),
            int(contradicts.sum()),
            expected,
            np.bincount(actions, minlength=len(expected)) - expected,
            np.diag(expected) - probabilities.T @ probabilities,
            float((1 / propensities - arms).sum()),
            float((inverse.sum(axis=1) - arms**2).sum()),
            float(inverse.max(initial=0.0)),
        )

    def __add__(self, other: Self) -> Self:
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return type(self)(**sums | {"largest": max(self.largest, other.largest)})

    def chi_square(self) -> float:
        """The p-value of the actions' counts."""
        rare = self.expected < ENOUGH
        cells = np.vstack([np.eye(len(rare))[~rare], rare[None, :]])  # [cells, K]
        cells = cells[cells @ self.expected >= ENOUGH]
        surplus, covariance = cells @ self.surplus, cells @ self.covariance @ cells.T
        freedom = np.linalg.matrix_rank(covariance, rtol=1e-9, hermitian=True) if len(cells) else 0
        if not freedom:
            return 1.0
        return float(stats.chi2.sf(surplus @ np.linalg.pinv(covariance, rcond=1e-9, hermitian=True) @ surplus, freedom))

    def inverse_propensity(self) -> float:
        """The p-value of the mean of 1 / propensity."""
        if self.variance < CALM * self.largest**2:
            return 1.0
        return float(2 * stats.norm.sf(abs(self.inverse) / np.sqrt(self.variance)))

    def explain(self) -> str:
        """What was found, in words."""
        return (
            f"{self.contradictions:,} of {self.count:,} decisions contradict themselves; "
            f"their actions' counts have p = {self.chi_square():.1e}, "
            f"their mean 1/propensity has p = {self.inverse_propensity():.1e}"
        )

    def passes(self, level: float = 1e-6) -> bool:
        """Whether neither test rejects. True propensities fail in about 2 level of the audits."""
        return not self.contradictions and min(self.chi_square(), self.inverse_propensity()) >= level


def audited(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Interactions as they come, audited per policy version.

    Raises:
        InvalidInput: at the end, where a version's propensities cannot be true.
    """
    audits: dict[str, Audit] = {}
    for batch in batches:
        yield batch
        ours = batch.filter(
            pc.not_equal(batch["mode"], "logged")
        )  # what the application says of itself trains all the same
        for version, table in by_version(ours):
            audit = _audit(table)
            audits[version] = audits[version] + audit if version in audits else audit
    failed = {version: audit for version, audit in audits.items() if not audit.passes()}
    if failed:
        found = "; ".join(f"{version}: {audit.explain()}" for version, audit in failed.items())
        raise InvalidInput(f"propensity audit: what was logged cannot be true of {found}")


def _audit(interactions: pa.Table) -> Audit:
    """Of interactions of one version."""
    probabilities = pc.list_flatten(interactions["probabilities"]).to_numpy().reshape(interactions.num_rows, -1)
    return Audit.of(interactions["action"].to_numpy(), interactions["propensity"].to_numpy(), probabilities)
