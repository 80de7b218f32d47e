"""Intervals keep their level where evidence is thin, and stay narrow; the grid at length: `make bench-coverage`."""

import numpy as np
import pytest
from scipy import stats

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import DR, IPS, Logged
from banditloop.rl_core.estimators.confidence_sequence import ConfidenceSequence
from banditloop.rl_core.estimators.difference import Difference
from banditloop.rl_core.estimators.lower_bound import lower_bound
from banditloop.rl_core.estimators.value_interval import informative_interval
from tests.benchmarks.coverage import MAX_WIDTH_RATIO, measure
from tests.benchmarks.hard_logs import HARD_LOGS


@pytest.mark.parametrize("name", HARD_LOGS)
def test_intervals_keep_their_level_on_hard_logs_and_are_not_much_wider_than_cressie_read(name):
    """In 40 logs each of 20 and 1,000 decisions at most 7 misses: 95 % would give 2, and more than 7 once in 1,400."""
    for rows in (20, 1_000):
        covered, ratios, silent = measure(name, rows, repeats=40)
        assert covered.min() >= 33 / 40
        assert ratios.max(initial=0.0) <= MAX_WIDTH_RATIO
        assert silent.max(initial=0.0) == 0


@pytest.mark.parametrize("rows", [20, 100, 1000, 10_000])
def test_every_rate_of_equal_rewards_is_covered(rows):
    """The exact coverage of binomial proportions, at the rates where it is least: beside the bounds."""
    counts = np.arange(min(rows, 400) + 1)
    fraction = counts / rows
    low = lower_bound(rows, fraction, fraction)
    high = 1 - lower_bound(rows, 1 - fraction, 1 - fraction)
    rates = np.concatenate([high[:30] + 1e-9, high[:30] - 1e-9, low[1:60] + 1e-9, low[1:60] - 1e-9])
    rates = rates[(rates > 0) & (rates * rows < len(counts) / 3)]
    within = (low <= rates[:, None]) & (rates[:, None] <= high)
    assert (stats.binom.pmf(counts, rows, rates[:, None]) * within).sum(axis=1).min() >= 0.95


@pytest.mark.parametrize("rows", [1, 50])
def test_without_overlap_there_is_too_little_to_tell(rows):
    """No decision has a weight: neither IPS nor a doubly robust estimate with a confident model tells anything."""
    ones = np.ones(rows)
    for max_weight in (1.0, 100.0):
        log = Logged(ones, ones, 0 * ones, 0.3 * ones, 0.3 * ones, max_weight)
        for kind in (IPS, DR):
            estimator = kind()
            assert np.isnan(informative_interval(estimator.interval())).all()
            estimator.add(log)
            assert np.isnan(informative_interval(estimator.interval())).all()
        assert Difference().interval() == (-1, 1)
        low, high = Difference().add(log, Logged(ones, ones, ones, ones, ones)).interval()
        assert low == pytest.approx(-1, abs=0.01)
        assert high >= 0


def test_an_undeclared_bound_of_the_weights_is_not_guessed():
    """Ten weights of 0.9 and none of the large ones: a bound that the mean weight contradicts is not believed."""
    random = np.random.default_rng(0)
    differs = random.random(1000) < 0.3
    log = Logged(np.full(1000, 0.3), np.full(1000, 0.99), np.where(differs, 0.0, 0.99), max_weight=1.0)
    estimator = IPS()
    estimator.add(log)
    low, high = estimator.interval()
    assert low < 0.3 * 0.7
    assert high > 0.3 * 0.7 + 0.3


def test_merged_differences_equal_pooled_ones():
    logs = [HARD_LOGS["difference, exploration .1"](rows, np.random.default_rng(rows)) for rows in (50, 300)]
    first, second = (Difference().add(log.target, log.champion) for log in logs)
    merged, pooled = (
        second + first,
        Difference().add(logs[0].target, logs[0].champion).add(logs[1].target, logs[1].champion),
    )
    assert merged.value() == pytest.approx(pooled.value())
    assert merged.interval() == pytest.approx(pooled.interval())
    with pytest.raises(InvalidInput, match="the same decisions"):
        Difference().add(logs[0].target, logs[1].champion)
    direct = [DR().terms(log.target) - DR().terms(log.champion) for log in logs]
    assert merged.value() == pytest.approx(np.concatenate(direct).mean())


def bernoulli_bounds(events: int, rows: int) -> ConfidenceSequence:
    sums = np.array([events, rows - events], float)
    return ConfidenceSequence(0.05, rows, sums, sums)


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 4e-3, 0.1, 0.5])
def test_confidence_sequences_are_at_most_twice_as_wide_as_fixed_intervals_at_any_scale(rate):
    """Beside Clopper-Pearson intervals, at 200,000 rewards."""
    rows, events = 200_000, int(200_000 * rate)
    low, high = bernoulli_bounds(events, rows).interval()
    exact = stats.beta.ppf([0.025, 0.975], [events, events + 1], [rows - events + 1, rows - events])
    assert low < exact[0] < exact[1] < high
    assert high - low < 2 * (exact[1] - exact[0])


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e-3, 0.01, 0.3])
def test_confidence_sequences_hold_at_all_of_25_checks(rate):
    """They miss the mean at any check in at most 5 % of 200 logs of 50 expected rewards."""
    random, missed, rows = np.random.default_rng(5), 0, int(50 / rate)
    checks = np.geomspace(1 / rate, rows, 25).astype(int)
    for _ in range(200):
        events = np.cumsum(random.random(rows) < rate)[checks - 1]
        intervals = (bernoulli_bounds(*pair).interval() for pair in zip(events.tolist(), checks.tolist(), strict=True))
        missed += any(not low <= rate <= high for low, high in intervals)
    assert missed <= 10
