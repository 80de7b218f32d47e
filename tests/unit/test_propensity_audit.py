"""The propensity audit: its error is what it says at every number of decisions, and wrong propensities fail."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.log_audit import audit_propensities
from banditloop.rl_core.evidence.propensity_audit import CELLS, PropensityAudit
from banditloop.rl_core.policies.audits import MAX_VERSIONS, read_audits, write_audits
from tests.conftest import random_interactions


def greedy_vectors(random, rows, actions, exploration):
    """Probabilities of an ε-greedy policy whose greedy action depends on the context."""
    return (1 - exploration) * np.eye(actions)[random.integers(actions, size=rows)] + exploration / actions


def drawn(random, probabilities):
    """Actions drawn from probabilities [..., K]."""
    below = probabilities.cumsum(axis=-1) < random.random((*probabilities.shape[:-1], 1))
    return below.sum(axis=-1).clip(max=probabilities.shape[-1] - 1)


def audit_of(probabilities, actions, before=None):
    return (before or PropensityAudit()).add(actions, probabilities[np.arange(len(actions)), actions], probabilities)


def rows_until_failure(probabilities, actions, step=1000):
    """The number of decisions after which the audit first fails; infinite if it never does."""
    audit = PropensityAudit()
    for start in range(0, len(actions), step):
        audit = audit_of(probabilities[start : start + step], actions[start : start + step], audit)
        if not audit.passes():
            return start + step
    return math.inf


@pytest.mark.parametrize("exploration", [0.01, 0.2, 1.0])
def test_the_mean_wealth_is_exactly_one_under_correct_propensities(exploration):
    """Over all outcomes of nine decisions between two actions, looked at in two parts, the second with learned bets."""
    random = np.random.default_rng(0)
    probabilities = greedy_vectors(random, 9, 2, exploration)
    warm_up = greedy_vectors(random, 40, 2, exploration)
    before, mean = audit_of(warm_up, drawn(random, warm_up)), 0.0
    for outcome in itertools.product((0, 1), repeat=9):
        actions = np.array(outcome)
        first = audit_of(probabilities[:5], actions[:5], before)
        audit = audit_of(probabilities[5:], actions[5:], first)
        mean += probabilities[np.arange(9), actions].prod() * math.exp(audit.log_wealth() - before.log_wealth())
    assert mean == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("rows", "actions", "exploration"), [(20, 2, 0.05), (100, 20, 0.01), (300, 100, 0.2)])
def test_correct_propensities_rarely_fail_however_few(rows, actions, exploration):
    """Level 1 %: of 2,000 audits at most 20 are expected to fail, 38 with probability 1e-4."""
    random = np.random.default_rng(1)
    failures = 0
    for _ in range(2000):
        probabilities = greedy_vectors(random, rows, actions, exploration)
        failures += not audit_of(probabilities, drawn(random, probabilities)).passes(level=0.01)
    assert failures <= 38


def test_exploration_of_6_percent_logged_as_5_fails_within_30_000_decisions():
    """In at least 17 of 20 logs, where 97 % are expected. A likelihood ratio test that knew it needs 13,000."""
    random, times = np.random.default_rng(2), []
    for _ in range(20):
        greedy = np.eye(20)[random.integers(20, size=30_000)]
        times.append(rows_until_failure(0.95 * greedy + 0.05 / 20, drawn(random, 0.94 * greedy + 0.06 / 20)))
    assert sum(math.isfinite(time) for time in times) >= 17
    assert np.median(times) <= 20_000


def test_one_percent_of_answers_replaced_by_one_action_fails_within_8_000_decisions():
    random = np.random.default_rng(3)
    for _ in range(10):
        probabilities = greedy_vectors(random, 8000, 20, 0.05)
        actions = np.where(random.random(8000) < 0.01, 3, drawn(random, probabilities))
        assert rows_until_failure(probabilities, actions) <= 8000


def test_one_percent_of_answers_swapped_between_users_fails_within_45_000_decisions():
    random = np.random.default_rng(4)
    for _ in range(5):
        probabilities = greedy_vectors(random, 45_000, 20, 0.05)
        actions = drawn(random, probabilities)
        actions = np.where(random.random(45_000) < 0.01, np.roll(actions, 1), actions)
        assert rows_until_failure(probabilities, actions) <= 45_000


def thousand_actions(rows, random):
    """Probabilities among 1,000 actions, and actions drawn by them."""
    probabilities = random.dirichlet(np.full(1000, 50.0), size=rows) * 0.9 + 0.0001
    return probabilities, drawn(random, probabilities)


def test_the_audit_of_many_actions_passes_correct_propensities_and_has_one_size():
    probabilities, actions = thousand_actions(8000, np.random.default_rng(0))
    audit = audit_of(probabilities, actions)
    assert audit.passes(0.01)
    assert audit.chosen.shape == audit.expected.shape == (CELLS + 1,)
    assert audit.chosen.sum() == audit.count == 8000
    assert audit.expected.sum() == pytest.approx(8000)


@pytest.mark.parametrize("wrong", [slice(0, 100), slice(500, 1000)])
def test_the_audit_of_many_actions_fails_wrong_propensities(wrong):
    """Logged too high for one half of some actions, and too low for the other."""
    probabilities, actions = thousand_actions(8000, np.random.default_rng(0))
    logged, half = probabilities.copy(), (wrong.stop - wrong.start) // 2
    logged[:, wrong] *= np.repeat([1.6, 0.4], half)
    logged /= logged.sum(axis=1, keepdims=True)
    audit = audit_of(logged, actions)
    assert not audit.inconsistent
    assert not audit.passes()


def test_inconsistent_decisions_are_counted_and_not_bet_on():
    """A wrong propensity, probabilities that do not sum to 1, an impossible action, and one that is no candidate."""
    probabilities = np.array([[0.5, 0.5, 0], [0.5, 0.4, 0], [0.5, 0.5, 0], [0.5, 0.5, 0], [0.25, 0.75, 0]])
    audit = PropensityAudit.of(np.array([0, 0, 2, -1, 1]), np.array([0.4, 0.5, 1e-7, 0.5, 0.75]), probabilities)
    assert (audit.count, audit.inconsistent, audit.expected.sum()) == (5, 4, 1)
    assert not audit.passes()
    assert "4 of 5 decisions have inconsistent probabilities" in audit.explain()


def test_merged_audits_hold_the_evidence_of_both():
    random = np.random.default_rng(5)
    greedy = np.eye(4)[random.integers(4, size=4000)]
    logged, actions = 0.9 * greedy + 0.025, drawn(random, 0.8 * greedy + 0.05)
    halves = [audit_of(logged[part], actions[part]) for part in (slice(2000), slice(2000, None))]
    merged, whole = halves[0] + halves[1], audit_of(logged, actions)
    np.testing.assert_allclose(merged.chosen, whole.chosen)
    np.testing.assert_allclose(merged.expected, whole.expected)
    np.testing.assert_allclose(merged.log_wealths[:6], whole.log_wealths[:6])
    assert not merged.passes()


def interactions(version, rows, logged, random, mode="online"):
    """Interactions of a version whose log states `logged` as the exploration of 20 actions, where it is .1."""
    table = random_interactions(rows)
    greedy = np.eye(20)[random.integers(20, size=rows)]
    actions, vectors = drawn(random, 0.9 * greedy + 0.1 / 20), (1 - logged) * greedy + logged / 20
    columns = {
        "policy_version": [version] * rows,
        "action": [str(action) for action in actions],
        "propensity": vectors[np.arange(rows), actions],
        "probabilities": vectors.tolist(),
        "mode": [mode] * rows,
    }
    for name, values in columns.items():
        index = table.column_names.index(name)
        table = table.set_column(index, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    return table.to_batches()


def test_audits_add_up_over_windows_that_each_prove_too_little(tmp_path):
    """1,000 decisions with exploration .1 logged as .08 prove nothing, 40,000 do; those of another version pass."""
    random = np.random.default_rng(6)
    with pytest.raises(InvalidInput, match=r"propensity audit: .* contradict the actions of wrong: 0 of .* decisions"):
        for _ in range(40):
            batches = interactions("wrong", 1000, 0.08, random) + interactions("right", 1000, 0.1, random)
            list(audit_propensities(batches))
            audits = read_audits(tmp_path)
            assert sum(batch.num_rows for batch in audit_propensities(batches, audits)) == 2000
            write_audits(tmp_path, audits)
    assert read_audits(tmp_path)["right"].count == read_audits(tmp_path)["wrong"].count > 2000


@pytest.mark.parametrize(("mode", "complete"), [("external", True), ("deferred", True), ("online", False)])
def test_actions_prove_nothing_where_they_may_decide_what_is_logged(mode, complete):
    random = np.random.default_rng(7)
    audits = {}
    list(audit_propensities(interactions("v", 5000, 0.9, random, mode), audits, complete))
    assert not audits or audits["v"].expected.sum() == 0
    with pytest.raises(InvalidInput, match="odds of"):
        list(audit_propensities(interactions("v", 5000, 0.9, random)))


def test_only_the_latest_versions_are_kept(tmp_path):
    audits = {f"v{number}": PropensityAudit(count=number) for number in range(MAX_VERSIONS + 3)}
    write_audits(tmp_path, audits)
    assert [audit.count for audit in read_audits(tmp_path).values()] == list(range(3, MAX_VERSIONS + 3))
    write_audits(tmp_path, {})
    assert read_audits(tmp_path) == {}
