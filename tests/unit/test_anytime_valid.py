"""Error rates and power of the betting test and the confidence sequence under repeated checks."""

import numpy as np
import pytest

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.estimators.anytime_valid import BettingTest
from banditloop.rl_core.estimators.confidence_sequence import ConfidenceSequence
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
    with pytest.raises(InvalidInput, match="same margin"):
        BettingTest(margin=0.1) + BettingTest()


def test_non_inferiority_is_easier_than_superiority():
    random = np.random.default_rng(1)
    logs = [paired_logs(random, 20_000, 0.0) for _ in range(5)]
    assert not any(BettingTest().add(*pair).rejects() for pair in logs)
    assert all(BettingTest(margin=0.05).add(*pair).rejects() for pair in logs)


def test_evidence_merges_in_any_order():
    random = np.random.default_rng(2)
    first, second = (paired_logs(random, 500, 0.05) for _ in range(2))
    sequential = BettingTest().add(*first).add(*second)
    merged = BettingTest().add(*second) + BettingTest().add(*first)
    np.testing.assert_allclose(merged.log_wealths, sequential.log_wealths)
    assert sequential.count == 1000
    bounds = ConfidenceSequence().add(first[0]).add(second[0])
    merged_bounds = ConfidenceSequence().add(second[0]) + ConfidenceSequence().add(first[0])
    assert merged_bounds.interval() == bounds.interval()


@pytest.mark.slow
def test_the_confidence_sequence_covers_the_truth_at_all_of_100_checks():
    """It misses the truth at any of 100 checks in at most 5 % of 1,000 repeats, and it tightens."""
    missed, widths = 0, []
    for seed in range(1000):
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
    assert missed <= 50
    assert np.median(widths) < 0.35
