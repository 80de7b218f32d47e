"""The comparison of a canary with the champion on their common log: its error rates and time to a decision."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.promotion.decision import MAX_CHECKS

ARMS, EPSILON, ALPHA = 7, 0.1, 0.05


def paired_logs(random, rows: int, *arguments, **options) -> tuple[Logged, Logged]:
    """One check of `paired_checks`."""
    return next(paired_checks(random, 1, rows, *arguments, **options))


def paired_checks(
    random, checks: int, rows: int, gain: float, fraction: float, model: str = "good", min_reward: float = 0.0
) -> Iterator[tuple[Logged, Logged]]:
    """One log as challenger and champion see it, by checks; the challenger serves `fraction` of the users.

    The champion is right for 70 % of the users, the challenger for `gain` more. The right arm earns 1, the others
    `min_reward`. The reward model predicts this ("good"), always 0 ("none") or the opposite ("bad").
    """
    count = checks * rows
    best_arms, uniforms, row = random.integers(ARMS, size=count), random.random(count), np.arange(count)
    wrong_arms = (best_arms + 1 + random.integers(ARMS - 1, size=count)) % ARMS
    accuracies = 0.7 + gain / (1 - EPSILON), 0.7
    greedy_actions = [np.where(uniforms < accuracy, best_arms, wrong_arms) for accuracy in accuracies]
    policies = [(1 - EPSILON) * np.eye(ARMS)[greedy] + EPSILON / ARMS for greedy in greedy_actions]
    served = np.where((random.random(count) < fraction)[:, None], *policies)
    actions = (served.cumsum(axis=1) < random.random((count, 1))).sum(axis=1).clip(max=ARMS - 1)
    expected = {
        "good": 0.02 + 0.96 * np.eye(ARMS)[best_arms],
        "none": np.zeros((count, ARMS)),
        "bad": 1 - np.eye(ARMS)[best_arms],
    }[model]
    expected = expected if model == "none" else min_reward + (1 - min_reward) * expected
    mixture = fraction * policies[0] + (1 - fraction) * policies[1]
    rewards = np.where(actions == best_arms, 1.0, min_reward)
    chosen, values = expected[row, actions], [(expected * policy).sum(axis=1) for policy in policies]
    columns = [
        (rewards, mixture[row, actions], policy[row, actions], chosen, value)
        for policy, value in zip(policies, values, strict=True)
    ]
    limits = [1 / (own + (1 - own) * EPSILON / ARMS) for own in (fraction, 1 - fraction)]
    for start in range(0, count, rows):
        part = slice(start, start + rows)
        challenger, champion = (
            Logged(*(column[part] for column in log), limit) for log, limit in zip(columns, limits, strict=True)
        )
        yield challenger, champion


MODELS = ("good", "none", "bad")
WORTHLESS = ((0.0, 0.5), (0.0, 0.1), (-0.05, 0.2))  # gains and fractions


def promoted(gain: float, fraction: float, model: str, lines: int) -> float:
    """The share of lines of 48 checks of 50 interactions in which the challenger is promoted."""
    random, count = np.random.default_rng(0), 0
    for _ in range(lines):
        evidence = BettingTest()
        for logs in paired_checks(random, 48, 50, gain, fraction, model):
            evidence = evidence.add(*logs)
            if evidence.rejects(ALPHA):
                count += 1
                break
    return count / lines


def rolled_back(gain: float, lines: int) -> float:
    """The share of canaries with 100 checks that are rolled back; the betting may restart at every check."""
    random, count = np.random.default_rng(1), 0
    for _ in range(lines):
        worse = BettingTest()
        for challenger, champion in paired_checks(random, MAX_CHECKS, 50, gain, 0.2):
            worse = worse.restarted().add_losses(challenger, champion)
            if worse.rejects(ALPHA / MAX_CHECKS):
                count += 1
                break
    return count / lines


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("gain", "fraction"), WORTHLESS)
def test_equal_or_worse_challengers_are_rarely_promoted(gain, fraction, model):
    """In at most 5 % of 200 lines, for any reward model; `make bench-promote` tries 2,000."""
    assert promoted(gain, fraction, model, 200) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.0, 0.05])
def test_an_equal_or_better_challenger_is_rarely_rolled_back(gain):
    """In at most 5 % of 100 canaries; `make bench-promote` tries 1,000."""
    assert rolled_back(gain, 100) <= 0.05


@pytest.mark.slow
def test_a_challenger_whose_users_earn_the_same_is_rarely_rolled_back():
    """In at most 5 % of 500 canaries with 100 checks, with the observed traffic fractions of 50 users per check."""
    random, count = np.random.default_rng(5), 0
    for _ in range(500):
        evidence = BettingTest()
        answered = np.arange(50) < random.binomial(50, 0.2, size=(MAX_CHECKS, 1)).clip(1, 49)
        earned = (random.random(answered.shape) < 0.7).astype(float)
        for by_challenger, rewards in zip(answered, earned, strict=True):
            fraction = by_challenger.mean()
            propensity = np.where(by_challenger, fraction, 1 - fraction)
            logs = (
                Logged(rewards, propensity, by_challenger * 1.0, max_weight=1 / fraction),
                Logged(rewards, propensity, ~by_challenger * 1.0, max_weight=1 / (1 - fraction)),
            )
            evidence = evidence.restarted().add_losses(*logs)
            if evidence.rejects(ALPHA / MAX_CHECKS):
                count += 1
                break
    assert count <= 25


@pytest.mark.parametrize(("good_checks", "loss"), [(0, -0.3), (60, -0.3), (60, -0.6)])
def test_a_challenger_that_turns_bad_is_soon_rolled_back_even_after_many_good_checks(good_checks, loss):
    """At 20 % of the traffic, in 95 of 100 canaries: within 1,500 interactions at a loss of 0.3, within 600 at 0.6."""
    random, durations = np.random.default_rng(2), []
    for _ in range(100):
        worse = BettingTest()
        for challenger, champion in paired_checks(random, good_checks, 50, 0.05, 0.2):
            worse = worse.restarted().add_losses(challenger, champion)
        interactions = 0
        while not worse.rejects(ALPHA / MAX_CHECKS):
            challenger, champion = paired_logs(random, 50, loss, 0.2)
            worse = worse.restarted().add_losses(challenger, champion)
            interactions += 50
        durations.append(interactions)
    assert np.quantile(durations, 0.95) <= (600 if loss == -0.6 else 1500)


def test_a_good_reward_model_speeds_up_promotion_and_a_bad_one_hardly_delays_it():
    """Interactions until promotion of a challenger that is right for 20 % more users; wrong arms earn 0.8."""
    random, medians = np.random.default_rng(3), {}
    for model in ("good", "none", "bad"):
        durations = []
        for _ in range(20):
            evidence, interactions = BettingTest(), 0
            while not evidence.rejects(ALPHA):
                evidence = evidence.add(*paired_logs(random, 50, 0.2, 0.5, model, min_reward=0.8))
                interactions += 50
            durations.append(interactions)
        medians[model] = np.median(durations)
    assert medians["good"] < 0.5 * medians["none"], medians
    assert medians["bad"] <= 1.5 * medians["none"], medians


def test_log_wealth_is_the_logarithm_of_the_odds():
    evidence = BettingTest().add(*paired_logs(np.random.default_rng(4), 2000, 0.1, 0.5))
    assert evidence.rejects(math.exp(-evidence.log_wealth()) * 1.001)
    assert not evidence.rejects(math.exp(-evidence.log_wealth()) * 0.999)
