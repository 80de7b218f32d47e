"""The propensity audits of all policy versions in a log."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.candidates import action_positions, logged_ids, logged_probabilities
from banditloop.rl_core.events.schema import split_by_version
from banditloop.rl_core.evidence.propensity_audit import MAX_BLOCK, Audits, PropensityAudit

AUDIT_NUMBERS = 400_000  # probabilities audited at a time, one per row and candidate: as many stay in a CPU cache
AUDITED = ["event_id", "policy_version", "candidates", "action", "propensity", "probabilities", "mode"]


def merged_audits(parts: Iterable[Audits]) -> Audits:
    """The audits of all interactions, given those of disjoint parts of them."""
    merged = Audits()
    for part in parts:
        for version, audit in part.items():
            merged[version] = merged.pop(version, PropensityAudit()) + audit
    return merged


def audit_propensities(
    batches: Iterable[pa.RecordBatch], audits: Audits | None = None, complete: bool = True
) -> Iterator[pa.RecordBatch]:
    """Pass interactions through unchanged while adding them to the audits, as `audited` does, and check these.

    Raises:
        InvalidInput: after the last batch, if a version's propensities contradict its actions.
    """
    audits = {} if audits is None else audits
    yield from audited(batches, audits, complete)
    check_audits(audits)


def audited(batches: Iterable[pa.RecordBatch], audits: Audits, complete: bool = True) -> Iterator[pa.RecordBatch]:
    """Pass interactions through unchanged while adding them to the audits of their policy versions.

    audits: of earlier interactions, updated in place. complete: False if decisions without a reward are left out.

    Decisions that an application took itself are not audited. Whether a deferred decision becomes an interaction may
    depend on its action and, if not `complete`, so it may for any decision. These are checked for consistency only: how
    often their actions occur proves nothing.
    """
    for batch in batches:
        yield batch
        table = pa.table(batch).select(AUDITED)
        by_policies = pc.not_equal(table["mode"], "external")
        decisions = table if pc.all(by_policies).as_py() else table.filter(by_policies)
        ids = logged_ids(decisions)
        rows = max(MAX_BLOCK, AUDIT_NUMBERS // max(1, len(ids)))
        for start in range(0, decisions.num_rows, rows):
            for version, interactions in split_by_version(decisions.slice(start, rows)):
                audits[version] = _added(audits.pop(version, PropensityAudit()), interactions, ids, complete)


def check_audits(audits: Audits) -> None:
    """InvalidInput: a version's propensities contradict its actions."""
    failures = [f"{version}: {audit.explain()}" for version, audit in audits.items() if not audit.passes()]
    if failures:
        raise InvalidInput(f"propensity audit: logged propensities contradict the actions of {'; '.join(failures)}")


def _added(audit: PropensityAudit, interactions: pa.Table, ids: list[str], complete: bool) -> PropensityAudit:
    """The audit with interactions of its version, among candidates of these ids."""
    actions, probabilities = action_positions(interactions, ids), logged_probabilities(interactions, ids)
    bet = pc.not_equal(interactions["mode"], "deferred").to_numpy() & complete
    return audit.add(actions, interactions["propensity"].to_numpy(), probabilities, ids, bet)
