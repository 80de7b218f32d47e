"""Properties of the estimators: merging, coverage of intervals, limiting cases and refused input."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import DR, ESTIMATORS, IPS, SNIPS, ClippedIPS, DirectMethod, DRos, Logged, SwitchDR
from banditloop.rl_core.estimators.confidence_sequence import ConfidenceSequence
from banditloop.rl_core.estimators.diagnostics import Diagnostics
from banditloop.rl_core.estimators.intervals import Bootstrap, clopper_pearson, empirical_bernstein
from banditloop.rl_core.estimators.value_interval import ValueSums

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS.keys())
ARMS = 4
MEANS = np.array([0.2, 0.4, 0.6, 0.8])  # of rewards, by arm
TARGET = np.array([0.1, 0.1, 0.1, 0.7])
TRUTH = float(TARGET @ MEANS)


def logged(seed: int, rows: int, uniform: bool = True, reward: float | None = None) -> Logged:
    """A policy's log with TARGET's probabilities and the predictions of a slightly wrong reward model."""
    random = np.random.default_rng(seed)
    policy = np.full(ARMS, 1 / ARMS) if uniform else np.array([0.4, 0.3, 0.2, 0.1])
    actions = random.choice(ARMS, size=rows, p=policy)
    rewards = (random.random(rows) < MEANS[actions]).astype(float) if reward is None else np.full(rows, reward)
    predictions, max_weight = 0.9 * MEANS + 0.03, (TARGET / policy).max()
    expected = np.full(rows, TARGET @ predictions)
    return Logged(rewards, policy[actions], TARGET[actions], predictions[actions], expected, max_weight)


def estimate(estimator, *batches):
    result = estimator()
    for batch in batches:
        result.add(batch)
    return result


@every_estimator
@given(seeds=st.lists(st.integers(0, 99), min_size=2, max_size=4), rows=st.integers(2, 50))
def test_merging_equals_pooling_in_any_order(estimator, seeds, rows):
    batches = [logged(seed, rows) for seed in seeds]
    pooled = estimate(estimator, *batches)
    merged = estimator()
    for batch in reversed(batches):
        merged = estimate(estimator, batch) + merged
    assert merged.count == pooled.count
    np.testing.assert_allclose([merged.value(), *merged.interval()], [pooled.value(), *pooled.interval()], rtol=1e-9)


@every_estimator
def test_more_decisions_tighten_the_interval(estimator):
    widths = []
    for rows in (200, 2_000, 20_000):
        low, high = estimate(estimator, logged(0, rows)).interval()
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]


@every_estimator
@given(reward=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_constant_reward_is_estimated_exactly_if_the_weights_or_the_model_are_exact(estimator, reward, seed):
    """On the target's own log, whose weights are all 1; with an exact reward model on any log."""
    constant, ones = np.full(50, reward), np.full(50, 0.25)
    assert estimate(estimator, Logged(constant, ones, ones, constant, constant)).value() == pytest.approx(reward)
    if issubclass(estimator, DR | DirectMethod):
        log = logged(seed, 50, uniform=False)
        off_policy = Logged(constant, log.propensity, log.target, constant, constant)
        assert estimate(estimator, off_policy).value() == pytest.approx(reward)


@pytest.mark.parametrize("reward", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ["snips", "replay"])
def test_a_constant_reward_gives_that_constant(name, reward):
    result = estimate(ESTIMATORS[name], logged(0, 500, reward=reward))
    assert result.value() == pytest.approx(reward)


@every_estimator
@pytest.mark.parametrize("reward", [0.0, 0.3, 1.0])
def test_a_constant_reward_does_not_exclude_that_others_are_rare(estimator, reward):
    """500 equal rewards: another one may have a probability of 3 / 500, so the interval has a width, if a small one."""
    low, high = estimate(estimator, logged(0, 500, reward=reward)).interval()
    assert low <= reward <= high
    assert 0.005 < high - low < 0.06


@every_estimator
def test_on_policy_every_estimate_is_the_mean_reward(estimator):
    """On the target's own log, whose weights are all 1, with a reward model that predicts the mean."""
    reward = np.random.default_rng(0).random(1000)
    mean = np.full(1000, reward.mean())
    log = Logged(reward, np.full(1000, 0.25), np.full(1000, 0.25), mean, mean)
    assert estimate(estimator, log).value() == pytest.approx(reward.mean(), rel=0.02)


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_estimates_converge_to_the_truth(name, uniform):
    result = estimate(ESTIMATORS[name], logged(1, 100_000, uniform))
    assert abs(result.value() - TRUTH) < 4 * result.standard_error() < 0.05


def test_a_wrong_model_biases_the_direct_method_but_not_dr():
    log = logged(2, 100_000)
    wrong = Logged(log.reward, log.propensity, log.target, np.full(100_000, 0.9), np.full(100_000, 0.9))
    assert estimate(DirectMethod, wrong).value() == pytest.approx(0.9)
    assert estimate(DR, wrong).value() == pytest.approx(TRUTH, abs=0.02)


def test_limiting_hyperparameters_give_the_simpler_estimators():
    log = logged(3, 1000, uniform=False)
    dr, ips, direct = (estimate(e, log).value() for e in (DR, IPS, DirectMethod))
    for estimator, value in (
        (ClippedIPS(max_weight=1e9), ips),
        (SwitchDR(threshold=1e9), dr),
        (SwitchDR(threshold=0.0), direct),
        (DRos(shrinkage=1e12), dr),
        (DRos(shrinkage=1e-12), direct),
    ):
        estimator.add(log)
        assert estimator.value() == pytest.approx(value, rel=1e-6)
    assert estimate(lambda: ClippedIPS(max_weight=1.0), log).value() < ips


def test_invalid_logs_are_refused():
    ones = np.ones(2)
    with pytest.raises(InvalidInput, match=r"rewards in \[0, 1\]"):
        Logged(2 * ones, ones, ones)
    with pytest.raises(InvalidInput, match="above 0"):
        Logged(ones, 0 * ones, ones)
    with pytest.raises(InvalidInput, match="from 0 to 1"):
        Logged(ones, ones, -ones)
    with pytest.raises(InvalidInput, match="finite"):
        Logged(ones, ones, np.nan * ones)
    with pytest.raises(InvalidInput, match="one length"):
        Logged(ones, ones, np.ones(3))
    with pytest.raises(InvalidInput, match="not chosen uniformly"):
        estimate(ESTIMATORS["replay"], logged(0, 100, uniform=False))
    first, second = (estimate(ESTIMATORS["replay"], Logged(ones, p * ones, ones)) for p in (0.25, 0.9))
    with pytest.raises(InvalidInput, match="not chosen uniformly"):
        first + second
    with pytest.raises(InvalidInput, match="needs a reward model"):
        estimate(DR, Logged(ones, ones, ones))
    assert np.isnan(IPS().value())
    without_overlap = estimate(SNIPS, Logged(np.ones(9), np.ones(9), np.zeros(9)))
    assert np.isnan(without_overlap.value())
    assert without_overlap.standard_error() == np.inf


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["empirical Bernstein", "Clopper-Pearson", "bootstrap"])
def test_other_intervals_have_their_nominal_coverage(kind):
    """At least 93 % of 1,000 repeats for a nominal 95 %."""
    covered = 0
    for seed in range(1000):
        log = logged(seed, 400, uniform=False)
        if kind == "Clopper-Pearson":
            successes = np.random.default_rng(seed).binomial(400, TRUTH)  # on the target's own log
            low, high = clopper_pearson(int(successes), 400)
        elif kind == "bootstrap":
            bootstrap = Bootstrap(SNIPS(), seed=seed)
            bootstrap.add(log)
            low, high = bootstrap.interval()
        else:
            low, high = empirical_bernstein(estimate(IPS, log), max_term=7.0)
        covered += low <= TRUTH <= high
    assert covered >= 930


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_estimator_intervals_have_their_nominal_coverage(name):
    """At least 93 % of 1,000 repeats for a nominal 95 %; four standard errors of that count are 2.8 points."""
    covered = 0
    for seed in range(1000):
        low, high = estimate(ESTIMATORS[name], logged(seed, 400, uniform=False)).interval()
        covered += low <= TRUTH <= high
    assert covered >= 930


def test_diagnostics_merge_and_describe_the_weights():
    first, second = (logged(seed, 500, uniform=False) for seed in (0, 1))
    both = Diagnostics.of(first) + Diagnostics.of(second)
    weights = np.concatenate([first.weight, second.weight])
    assert both.count == 1000
    assert both.max_weight == weights.max()
    assert both.effective_sample_size() == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    mean, error = both.mean_weight()
    assert abs(mean - 1) < 4 * error
    assert Diagnostics.of(Logged(np.ones(2), np.ones(2), np.array([0.0, 1.0]))).without_overlap == 1


def test_diagnostics_and_the_bootstrap_describe_all_traffic_if_it_is_sampled():
    """Half of the decisions stand for themselves, half for ten each: as if these had been logged ten times."""
    whole, part = logged(0, 2000), np.arange(2000) >= 1000
    sample_weight = np.where(part, 10.0, 1.0)
    sampled = replace(whole, sample_weight=sample_weight / sample_weight.mean())
    repeated = replace(whole, **{name: np.repeat(getattr(whole, name), np.where(part, 10, 1)) for name in ALL_COLUMNS})
    assert Diagnostics.of(sampled).mean_weight()[0] == pytest.approx(Diagnostics.of(repeated).mean_weight()[0])
    assert Diagnostics.of(sampled).effective_sample_size() < 0.7 * Diagnostics.of(whole).effective_sample_size()
    bootstrap, estimator = Bootstrap(SNIPS(), seed=0), estimate(SNIPS, sampled)
    bootstrap.add(sampled)
    assert estimator.value() == pytest.approx(estimate(SNIPS, repeated).value())
    assert np.mean(bootstrap.interval()) == pytest.approx(estimator.value(), abs=0.01)
    for low, high in (bootstrap.interval(), estimator.interval()):
        assert low < estimator.value() < high


ALL_COLUMNS = "reward", "propensity", "target", "predicted_reward", "expected_reward"


def test_columns_are_taken_by_position_whatever_their_type():
    """Such as lists and Arrow arrays; a Series' index plays no role either, since NumPy drops it."""
    log = logged(0, 50)
    arrow = {name: pa.array(getattr(log, name)) for name in ALL_COLUMNS[1:]} | {"reward": pa.array(log.reward == 1)}
    as_lists = {name: getattr(log, name).tolist() for name in ALL_COLUMNS}
    for columns in (arrow, as_lists):
        same = Logged(**columns, max_weight=2.8, sample_weight=[1] * 50)
        assert estimate(DR, same).value() == estimate(DR, log).value()
        assert estimate(DR, same).interval() == pytest.approx(estimate(DR, log).interval(), abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": np.array(["a", "b"])}, "reward: must be numbers"),
        ({"reward": np.array([None, 1.0])}, "reward: (must be numbers|every number must be finite)"),
        ({"reward": np.array([[1.0, 0.0]])}, "one length"),
        ({"sample_weight": np.ones(3)}, "one length"),
        ({"sample_weight": np.array([1.0, 0.0])}, "sample_weight: .* above 0"),
        ({"sample_weight": np.array([1.0, np.nan])}, "sample_weight: .* finite"),
        ({"max_weight": 0.0}, "max_weight: must be one number above 0"),
        ({"max_weight": np.ones(3)}, "max_weight: .* one for each decision"),
        ({"predicted_reward": np.ones(2)}, "give both of a reward model"),
        ({"predicted_reward": 5 * np.ones(2), "expected_reward": np.ones(2)}, "predicted_reward: .* from 0 to 1"),
    ],
)
def test_columns_that_estimators_cannot_use_are_refused(changes, message):
    ones = np.ones(2)
    with pytest.raises(InvalidInput, match=message):
        Logged(**({"reward": ones, "propensity": ones, "target": ones} | changes))


def test_only_what_is_alike_merges():
    log = logged(0, 50)
    for first, second in (
        (ClippedIPS(), ClippedIPS(max_weight=5.0)),
        (IPS(), SNIPS()),
        (DR(), SwitchDR()),
        (Bootstrap(IPS()), Bootstrap(SNIPS())),
        (Bootstrap(DRos()), Bootstrap(DRos(shrinkage=1.0))),
        (Bootstrap(IPS(), 10), Bootstrap(IPS(), 20)),
        (ConfidenceSequence(0.05), ConfidenceSequence(0.1)),
        (ValueSums.of(log, with_model=True), ValueSums.of(log, with_model=False)),
        (ValueSums.of(log, log, with_model=True), ValueSums.of(log, with_model=True)),
    ):
        with pytest.raises(InvalidInput, match="merge"):
            first + second
    for refused in (
        lambda: ConfidenceSequence(alpha=5),
        lambda: estimate(IPS, log).interval(level=95),
        lambda: clopper_pearson(3, 2),
    ):
        with pytest.raises(InvalidInput):
            refused()


def test_snips_stays_within_the_reward_range_and_ips_does_not():
    log = Logged(np.ones(3), np.full(3, 0.01), np.array([0.9, 0.9, 0.1]))
    assert estimate(IPS, log).value() > 1
    assert estimate(SNIPS, log).value() == pytest.approx(1)
