"""Error rates and power of the betting test and the confidence sequence under repeated checks."""

import math

import numpy as np
import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.estimators.confidence_sequence import ConfidenceSequence
from banditloop.rl_core.evidence.anytime_valid import TOTAL_WEALTH, BettingTest
from tests.unit.test_estimators import TRUTH, logged


def paired_logs(random, rows: int, gain: float) -> tuple[Logged, Logged]:
    """One log as candidate and champion see it: 7 arms, logged by the champion with ε = 0.2.

    The champion is right for 70 % of the users, the candidate for `gain` more.
    """
    arms, epsilon = 7, 0.2
    best_arms, uniforms = random.integers(arms, size=rows), random.random(rows)
    wrong_arms = (best_arms + 1 + random.integers(arms - 1, size=rows)) % arms
    accuracies = 0.7, 0.7 + gain / (1 - epsilon)
    champion, candidate = (np.where(uniforms < accuracy, best_arms, wrong_arms) for accuracy in accuracies)
    policies = [(1 - epsilon) * np.eye(arms)[greedy] + epsilon / arms for greedy in (champion, candidate)]
    actions = (policies[0].cumsum(axis=1) < random.random((rows, 1))).sum(axis=1).clip(max=arms - 1)
    reward, row = (actions == best_arms).astype(float), np.arange(rows)
    propensity = policies[0][row, actions]
    return Logged(reward, propensity, policies[1][row, actions]), Logged(reward, propensity, propensity)


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.0, -0.05])
def test_an_equal_or_worse_candidate_is_rarely_promoted_under_repeated_checks(gain):
    """In at most 5 % of 1,000 lines of candidates with 48 checks each."""
    random, promoted = np.random.default_rng(0), 0
    for _ in range(1000):
        evidence = BettingTest()
        for _check in range(48):
            evidence = evidence.add(*paired_logs(random, 50, gain))
            if evidence.rejects():
                promoted += 1
                break
    assert promoted <= 50


def test_a_better_candidate_is_promoted():
    """A gain of 0.05 is proven in at least 90 % of the logs of 20,000 decisions with ε = 0.2."""
    random = np.random.default_rng(0)
    promoted = sum(BettingTest().add(*paired_logs(random, 20_000, 0.05)).rejects() for _ in range(100))
    assert promoted >= 90


def test_the_error_rate_holds_where_the_champions_weights_depend_on_the_user():
    """A third policy logs. The candidate is better for half of the users and worse, by more, for the other half."""
    random, promoted = np.random.default_rng(3), 0
    for _ in range(200):
        evidence = BettingTest()
        for _check in range(20):
            in_second_half = random.random(250) < 0.5
            champion_propensity = np.where(in_second_half, 0.1, 0.9)  # of the champion's action, right 80 % of the time
            champion_action = random.random(250) < champion_propensity
            candidate_accuracy = np.where(in_second_half, 0.4, 0.98)
            reward = (random.random(250) < np.where(champion_action, 0.8, candidate_accuracy)).astype(float)
            propensity = np.where(champion_action, champion_propensity, 1 - champion_propensity)
            champion, candidate = np.where(champion_action, 0.9, 0.1), np.where(champion_action, 0.1, 0.9)
            evidence = evidence.add(
                Logged(reward, propensity, candidate), Logged(reward, propensity, champion, max_weight=9.0)
            )
            if evidence.rejects():
                promoted += 1
                break
    assert promoted <= 10
    with pytest.raises(InvalidInput, match="a weight of the champion is 9 times"):
        BettingTest().add(Logged(reward, propensity, candidate), Logged(reward, propensity, champion))


def test_non_inferiority_is_easier_than_superiority():
    random = np.random.default_rng(1)
    logs = [paired_logs(random, 20_000, 0.0) for _ in range(5)]
    assert not any(BettingTest().add(*pair).rejects() for pair in logs)
    assert all(BettingTest(margin=0.05).add(*pair).rejects() for pair in logs)


def test_evidence_is_the_same_in_parts_and_confidence_sequences_merge_in_any_order():
    random = np.random.default_rng(2)
    first, second = (paired_logs(random, 500, 0.05) for _ in range(2))
    whole = [
        Logged(*(np.concatenate(columns) for columns in zip(*sides, strict=True)))
        for sides in zip(*([_columns(log) for log in pair] for pair in (first, second)), strict=True)
    ]
    sequential = BettingTest().add(*first).add(*second)
    np.testing.assert_allclose(sequential.log_wealths, BettingTest().add(*whole).log_wealths)
    assert sequential.count == 1000
    bounds = ConfidenceSequence().add(first[0]).add(second[0])
    merged_bounds = ConfidenceSequence().add(second[0]) + ConfidenceSequence().add(first[0])
    assert merged_bounds.interval() == bounds.interval()


def _columns(log: Logged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return log.reward, log.propensity, log.target


def canary_logs(random, rows: int, gain: float, scale: float = 1.0) -> tuple[Logged, Logged]:
    """One log as challenger and champion see it: each answers half of the users and they differ for 30 % of them.

    Rewards are 0 or from half of `scale` to `scale`; a fraction of .3 is positive, `gain` more under the challenger.
    """
    differs, challenged = random.random(rows) < 0.3, random.random(rows) < 0.5
    rates = 0.3, 0.3 + gain / 0.3
    positive = random.random(rows) < np.where(differs & challenged, rates[1], rates[0])
    reward, propensity = positive * scale * random.uniform(0.5, 1, rows), np.where(differs, 0.5, 1.0)
    sides = []
    for rate, answered in ((rates[1], challenged), (rates[0], ~challenged)):
        predicted = 0.75 * scale * np.where(differs & challenged, rates[1], rates[0])
        expected = 0.75 * scale * np.where(differs, rate, rates[0])
        sides.append(Logged(reward, propensity, np.where(differs, answered, 1.0), predicted, expected, max_weight=2.0))
    return sides[0], sides[1]


def rows_of(log: Logged, start: int, end: int) -> Logged:
    """Some of the decisions of a log, in order."""
    columns = log.reward, log.propensity, log.target, log.predicted_reward, log.expected_reward
    return Logged(*(None if c is None else c[start:end] for c in columns), max_weight=log.max_weight)


def interactions_to_promotion(random, evidence: BettingTest, gain: float, scale: float = 1.0) -> int:
    interactions = 0
    while not evidence.rejects(0.02):
        evidence = evidence.add(*canary_logs(random, 100, gain, scale))
        interactions += 100
    return interactions


def test_small_rewards_of_a_wide_range_are_compared_as_soon_as_large_ones():
    """Of a range of 1, rewards below 0.02: within a factor of 1.3; the median of 30."""
    random = np.random.default_rng(6)
    large, small = (
        np.median([interactions_to_promotion(random, BettingTest(), 0.03, scale) for _ in range(30)])
        for scale in (1.0, 0.02)
    )
    assert small <= 1.3 * large


def test_a_reward_far_above_all_before_it_counts_as_twice_the_largest():
    quiet = canary_logs(np.random.default_rng(0), 200, 0.0, scale=0.01)
    evidence = BettingTest().add(*quiet)
    assert 0.005 < evidence.largest_reward <= 0.01
    outlier, twice = (
        [Logged(np.array([reward]), np.ones(1), np.array([target])) for target in (0.0, 1.0)]
        for reward in (1.0, 2 * evidence.largest_reward)
    )
    assert evidence.add(*outlier).log_wealths == evidence.add(*twice).log_wealths
    assert evidence.add(*outlier).largest_reward == 1.0


def test_a_better_candidate_after_an_equal_one_is_found_nearly_as_soon_as_alone():
    """After 10,000 interactions of an equal candidate, within a factor of 1.7; the median of 60."""
    random = np.random.default_rng(7)
    alone = [interactions_to_promotion(random, BettingTest(), 0.03) for _ in range(60)]
    equal = [BettingTest().add(*canary_logs(random, 10_000, 0.0)).next_candidate() for _ in range(60)]
    after_equal = [interactions_to_promotion(random, evidence, 0.03) for evidence in equal]
    assert np.median(after_equal) <= 1.7 * np.median(alone)


def test_the_error_of_a_line_of_equal_candidates_holds():
    """40 candidates with 100 interactions each: wealth reaches 2 / 0.05 in at most 5 % of 400 lines."""
    random, promoted = np.random.default_rng(8), 0
    for _ in range(400):
        evidence = BettingTest()
        for _candidate in range(40):
            evidence = evidence.add(*canary_logs(random, 100, 0.0))
            if evidence.rejects(0.05 / TOTAL_WEALTH):
                promoted += 1
                break
            evidence = evidence.next_candidate()
    assert promoted <= 20


def test_all_candidates_of_a_line_share_its_total_wealth():
    evidence = BettingTest()
    assert evidence.log_wealth() == pytest.approx(0)
    for _ in range(2000):
        evidence = evidence.next_candidate()
    assert math.exp(evidence.log_wealth()) == pytest.approx(TOTAL_WEALTH, abs=1e-3)


@pytest.mark.slow
def test_the_confidence_sequence_covers_the_truth_at_all_of_100_checks():
    """It misses the truth at any of 100 checks in at most 5 % of 200 repeats, and it tightens.

    `make bench-coverage` repeats it 1,000 times, which takes a minute and a half.
    """
    missed, width = misses_and_width(200)
    assert missed <= 10
    assert width < 0.35


def misses_and_width(repeats: int) -> tuple[int, float]:
    """Of logs of 2,000 decisions, how many the confidence sequence missed the truth of, and its median width."""
    missed, widths = 0, []
    for seed in range(repeats):
        bounds = ConfidenceSequence()
        log = logged(seed, 2000, uniform=False)
        for check in range(100):
            rows = slice(20 * check, 20 * check + 20)
            bounds = bounds.add(Logged(log.reward[rows], log.propensity[rows], log.target[rows]))
            low, high = bounds.interval()
            if not low <= TRUTH <= high:
                missed += 1
                break
        widths.append(high - low)
    return missed, float(np.median(widths))
