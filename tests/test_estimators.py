"""Every estimator behaves as an estimate must, and the anytime-valid ones keep their error rates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_core.errors import InvalidInput
from rl_core.estimators import DR, ESTIMATORS, IPS, SNIPS, ClippedIPS, DirectMethod, DRos, Logged, SwitchDR
from rl_core.estimators.diagnostics import Diagnostics
from rl_core.estimators.intervals import Bootstrap, clopper_pearson, empirical_bernstein
from rl_core.estimators.sequential import ConfidenceSequence, Gate

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS.keys())
ARMS = 4
MEANS = np.array([0.2, 0.4, 0.6, 0.8])  # of rewards, by arm
TARGET = np.array([0.1, 0.1, 0.1, 0.7])
TRUTH = float(TARGET @ MEANS)


def logged(seed: int, rows: int, uniform: bool = True, reward: float | None = None) -> Logged:
    """What a policy logs, beside TARGET, with a reward model that is a little wrong."""
    random = np.random.default_rng(seed)
    policy = np.full(ARMS, 1 / ARMS) if uniform else np.array([0.4, 0.3, 0.2, 0.1])
    actions = random.choice(ARMS, size=rows, p=policy)
    rewards = (random.random(rows) < MEANS[actions]).astype(float) if reward is None else np.full(rows, reward)
    guesses = 0.9 * MEANS + 0.03
    return Logged(rewards, policy[actions], TARGET[actions], guesses[actions], np.full(rows, TARGET @ guesses))


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
    assert widths[0] >= widths[1] >= widths[2]
    assert widths[0] > widths[2] or estimator is DirectMethod


@every_estimator
@given(reward=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_constant_reward_gives_that_constant_where_the_weights_or_the_model_are_right(estimator, reward, seed):
    """On the target's own log, whose weights are all 1; with a model that knows the constant, whoever logged."""
    constant, ones = np.full(50, reward), np.full(50, 0.25)
    assert estimate(estimator, Logged(constant, ones, ones, constant, constant)).value() == pytest.approx(reward)
    if issubclass(estimator, DR | DirectMethod):
        data = logged(seed, 50, uniform=False)
        other = Logged(constant, data.propensity, data.target, constant, constant)
        assert estimate(estimator, other).value() == pytest.approx(reward)


@pytest.mark.parametrize("reward", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ["snips", "replay"])
def test_a_constant_reward_gives_that_constant(name, reward):
    result = estimate(ESTIMATORS[name], logged(0, 500, reward=reward))
    assert result.value() == pytest.approx(reward)
    assert result.interval() == pytest.approx((reward, reward), abs=1e-6)


@every_estimator
def test_on_policy_every_estimate_is_the_mean_reward(estimator):
    """With the target's own log, whose weights are all 1, and a model that knows the mean."""
    reward = np.random.default_rng(0).random(1000)
    mean = np.full(1000, reward.mean())
    log = Logged(reward, np.full(1000, 0.25), np.full(1000, 0.25), mean, mean)
    assert estimate(estimator, log).value() == pytest.approx(reward.mean(), rel=0.02)


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_the_estimates_come_to_the_truth(name, uniform):
    result = estimate(ESTIMATORS[name], logged(1, 100_000, uniform))
    assert abs(result.value() - TRUTH) < 4 * result.standard_error() < 0.05


def test_a_wrong_model_misleads_the_direct_method_and_not_the_doubly_robust_one():
    data = logged(2, 100_000)
    wrong = Logged(data.reward, data.propensity, data.target, np.full(100_000, 0.9), np.full(100_000, 0.9))
    assert estimate(DirectMethod, wrong).value() == pytest.approx(0.9)
    assert estimate(DR, wrong).value() == pytest.approx(TRUTH, abs=0.02)


def test_the_limits_of_the_family_meet():
    data = logged(3, 1000, uniform=False)
    dr, ips, direct = (estimate(e, data).value() for e in (DR, IPS, DirectMethod))
    for estimator, value in (
        (ClippedIPS(largest=1e9), ips),
        (SwitchDR(threshold=1e9), dr),
        (SwitchDR(threshold=0.0), direct),
        (DRos(shrinkage=1e12), dr),
        (DRos(shrinkage=1e-12), direct),
    ):
        estimator.add(data)
        assert estimator.value() == pytest.approx(value, rel=1e-6)
    assert estimate(lambda: ClippedIPS(largest=1.0), data).value() < ips


def test_what_cannot_be_estimated_is_refused():
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
    one, other = (estimate(ESTIMATORS["replay"], Logged(ones, p * ones, ones)) for p in (0.25, 0.9))
    with pytest.raises(InvalidInput, match="not chosen uniformly"):
        one + other
    with pytest.raises(InvalidInput, match="needs a reward model"):
        estimate(DR, Logged(ones, ones, ones))
    assert np.isnan(IPS().value())
    nothing = estimate(SNIPS, Logged(np.ones(9), np.ones(9), np.zeros(9)))
    assert np.isnan(nothing.value())
    assert nothing.standard_error() == np.inf


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["empirical Bernstein", "Clopper-Pearson", "bootstrap"])
def test_the_other_intervals_cover_the_truth_as_often_as_they_say(kind):
    """At least 93 % of 1,000 repeats for a nominal 95 %."""
    covered = 0
    for seed in range(1000):
        data = logged(seed, 400, uniform=False)
        if kind == "Clopper-Pearson":
            successes = np.random.default_rng(seed).binomial(400, TRUTH)  # on the target's own log
            low, high = clopper_pearson(int(successes), 400)
        elif kind == "bootstrap":
            bootstrap = Bootstrap(SNIPS(), seed=seed)
            bootstrap.add(data)
            low, high = bootstrap.interval()
        else:
            low, high = empirical_bernstein(estimate(IPS, data), largest=7.0)
        covered += low <= TRUTH <= high
    assert covered >= 930


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_the_interval_covers_the_truth_as_often_as_it_says(name):
    """At least 93 % of 1,000 repeats for a nominal 95 %; four standard errors of that count are 2.8 points."""
    covered = 0
    for seed in range(1000):
        low, high = estimate(ESTIMATORS[name], logged(seed, 400, uniform=False)).interval()
        covered += low <= TRUTH <= high
    assert covered >= 930


def test_diagnostics_merge_and_tell_of_weights():
    first, second = (logged(seed, 500, uniform=False) for seed in (0, 1))
    both = Diagnostics.of(first) + Diagnostics.of(second)
    weights = np.concatenate([first.weight, second.weight])
    assert both.count == 1000
    assert both.largest == weights.max()
    assert both.effective_sample_size() == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    mean, error = both.mean_weight()
    assert abs(mean - 1) < 4 * error
    assert Diagnostics.of(Logged(np.ones(2), np.ones(2), np.array([0.0, 1.0]))).without_overlap == 1


def beside(random, rows: int, gain: float) -> tuple[Logged, Logged]:
    """7 arms; the champion is right for 70 % of the users and logs with ε = .2; the candidate is `gain` better."""
    arms, floor = 7, 0.2
    best, luck = random.integers(arms, size=rows), random.random(rows)
    wrong = (best + 1 + random.integers(arms - 1, size=rows)) % arms
    champion, candidate = (np.where(luck < share, best, wrong) for share in (0.7, 0.7 + gain / (1 - floor)))
    policies = [(1 - floor) * np.eye(arms)[choice] + floor / arms for choice in (champion, candidate)]
    actions = (policies[0].cumsum(axis=1) < random.random((rows, 1))).sum(axis=1).clip(max=arms - 1)
    reward, row = (actions == best).astype(float), np.arange(rows)
    propensity = policies[0][row, actions]
    return Logged(reward, propensity, policies[1][row, actions]), Logged(reward, propensity, propensity)


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.0, -0.05])
def test_an_equal_or_worse_candidate_is_hardly_ever_promoted_however_often_one_looks(gain):
    """In at most 5 % of 1,000 lineages of 48 looks each."""
    random, promoted = np.random.default_rng(0), 0
    for _ in range(1000):
        gate = Gate()
        for _look in range(48):
            gate = gate.add(*beside(random, 50, gain))
            if gate.promotes():
                promoted += 1
                break
    assert promoted <= 50


def test_a_better_candidate_is_promoted():
    """One of 5 points, on 20,000 decisions logged with ε = .2: in at least 90 %."""
    random = np.random.default_rng(0)
    promoted = sum(Gate().add(*beside(random, 20_000, 0.05)).promotes() for _ in range(100))
    assert promoted >= 90


def test_the_error_rate_holds_where_the_champions_weights_depend_on_the_user():
    """Another policy logged. The candidate is better for half of the users and worse, by more, for the others."""
    random, promoted = np.random.default_rng(3), 0
    for _ in range(200):
        gate = Gate()
        for _look in range(20):
            second = random.random(250) < 0.5
            propensity = np.where(second, 0.1, 0.9)  # of the champion's action, which is right .8 of the time
            chosen = random.random(250) < propensity
            better = np.where(second, 0.4, 0.98)  # how often the candidate's action is right
            reward = (random.random(250) < np.where(chosen, 0.8, better)).astype(float)
            taken = np.where(chosen, propensity, 1 - propensity)
            champion, candidate = np.where(chosen, 0.9, 0.1), np.where(chosen, 0.1, 0.9)
            gate = gate.add(Logged(reward, taken, candidate), Logged(reward, taken, champion, largest=9.0))
            if gate.promotes():
                promoted += 1
                break
    assert promoted <= 10
    with pytest.raises(InvalidInput, match="a weight of the champion is 9 times"):
        Gate().add(Logged(reward, taken, candidate), Logged(reward, taken, champion))
    with pytest.raises(InvalidInput, match="same margin"):
        Gate(margin=0.1) + Gate()


def test_non_inferiority_is_easier_than_superiority():
    random = np.random.default_rng(1)
    evidence = [beside(random, 20_000, 0.0) for _ in range(5)]
    assert not any(Gate().add(*pair).promotes() for pair in evidence)
    assert all(Gate(margin=0.05).add(*pair).promotes() for pair in evidence)


def test_evidence_merges_and_its_order_does_not_matter():
    random = np.random.default_rng(2)
    first, second = (beside(random, 500, 0.05) for _ in range(2))
    one_way = Gate().add(*first).add(*second)
    np.testing.assert_allclose((Gate().add(*second) + Gate().add(*first)).logs, one_way.logs)
    assert one_way.count == 1000
    bounds = ConfidenceSequence().add(first[0]).add(second[0])
    merged = ConfidenceSequence().add(second[0]) + ConfidenceSequence().add(first[0])
    assert merged.interval() == bounds.interval()


@pytest.mark.slow
def test_the_confidence_sequence_holds_under_100_looks():
    """It misses the truth at any of 100 looks in at most 5 % of 1,000 repeats, and it does tighten."""
    missed, widths = 0, []
    for seed in range(1000):
        bounds = ConfidenceSequence()
        data = logged(seed, 2000, uniform=False)
        for look in range(100):
            rows = slice(20 * look, 20 * look + 20)
            bounds = bounds.add(Logged(data.reward[rows], data.propensity[rows], data.target[rows]))
            low, high = bounds.interval()
            if not low <= TRUTH <= high:
                missed += 1
                break
        widths.append(high - low)
    assert missed <= 50
    assert np.median(widths) < 0.35


def test_snips_stays_within_the_rewards_where_ips_does_not():
    data = Logged(np.ones(3), np.full(3, 0.01), np.array([0.9, 0.9, 0.1]))
    assert estimate(IPS, data).value() > 1
    assert estimate(SNIPS, data).value() == pytest.approx(1)
