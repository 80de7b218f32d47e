"""The contest of a canary with the champion, on a log that both wrote: its error rates, and how soon it ends."""

import math

import numpy as np
import pytest

from rl_core.estimators import Logged
from rl_core.estimators.sequential import Gate
from rl_core.evaluation.contest import LOOKS

ARMS, FLOOR, ALPHA = 7, 0.1, 0.05


def look(
    random, rows: int, gain: float, share: float, model: str = "good", least: float = 0.0
) -> tuple[Logged, Logged]:
    """Some decisions as challenger and champion see them; the champion's guess is right for 70 % of the users.

    An arm earns 1 or, if it is wrong, `least`. The model knows which arm is right, or knows nothing, or believes in
    every arm that is wrong.
    """
    best, luck, row = random.integers(ARMS, size=rows), random.random(rows), np.arange(rows)
    wrong = (best + 1 + random.integers(ARMS - 1, size=rows)) % ARMS
    guesses = [np.where(luck < right, best, wrong) for right in (0.7 + gain / (1 - FLOOR), 0.7)]
    policies = [(1 - FLOOR) * np.eye(ARMS)[guess] + FLOOR / ARMS for guess in guesses]
    served = np.where((random.random(rows) < share)[:, None], *policies)
    actions = (served.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1).clip(max=ARMS - 1)
    expected = {
        "good": 0.02 + 0.96 * np.eye(ARMS)[best],
        "none": np.zeros((rows, ARMS)),
        "bad": 1 - np.eye(ARMS)[best],
    }[model]
    expected = expected if model == "none" else least + (1 - least) * expected
    mixture = share * policies[0] + (1 - share) * policies[1]
    sides = [
        Logged(
            np.where(actions == best, 1.0, least),
            mixture[row, actions],
            policy[row, actions],
            expected[row, actions],
            (expected * policy).sum(axis=1),
            1 / (own + (1 - own) * FLOOR / ARMS),
        )
        for policy, own in zip(policies, (share, 1 - share), strict=True)
    ]
    return sides[0], sides[1]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["good", "none", "bad"])
@pytest.mark.parametrize(("gain", "share"), [(0.0, 0.5), (0.0, 0.1), (-0.05, 0.2)])
def test_a_line_of_challengers_none_better_is_hardly_ever_promoted(gain, share, model):
    """In at most 5 % of 1,000 lines of 48 looks at 50 interactions each, whatever the model."""
    random, promoted = np.random.default_rng(0), 0
    for _ in range(1000):
        gate = Gate()
        for _look in range(48):
            gate = gate.add(*look(random, 50, gain, share, model))
            if gate.promotes(ALPHA):
                promoted += 1
                break
    assert promoted <= 50


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.0, 0.05])
def test_a_challenger_that_is_no_worse_is_hardly_ever_rolled_back(gain):
    """In at most 5 % of 500 contests of 100 looks, though gamblers may start anew at every look."""
    random, dismissed = np.random.default_rng(1), 0
    for _ in range(500):
        worse = Gate()
        for _look in range(LOOKS):
            challenger, champion = look(random, 50, gain, 0.2)
            worse = worse.restarted().add(challenger.losses(), champion.losses())
            if worse.promotes(ALPHA / LOOKS):
                dismissed += 1
                break
    assert dismissed <= 25


@pytest.mark.slow
def test_a_version_whose_users_are_as_well_off_is_hardly_ever_rolled_back_either():
    """In at most 5 % of 500 contests of 100 looks, with the shares that the 50 users of each happen to have."""
    random, dismissed = np.random.default_rng(5), 0
    for _ in range(500):
        gate = Gate()
        for _look in range(LOOKS):
            challenged = np.arange(50) < np.clip(random.binomial(50, 0.2), 1, 49)
            rewards, share = (random.random(50) < 0.7).astype(float), challenged.mean()
            propensity = np.where(challenged, share, 1 - share)
            sides = (
                Logged(rewards, propensity, challenged * 1.0, largest=1 / share),
                Logged(rewards, propensity, ~challenged * 1.0, largest=1 / (1 - share)),
            )
            gate = gate.restarted().add(*(side.losses() for side in sides))
            if gate.promotes(ALPHA / LOOKS):
                dismissed += 1
                break
    assert dismissed <= 25


@pytest.mark.parametrize(("good_looks", "loss"), [(0, -0.3), (60, -0.3), (60, -0.6)])
def test_a_challenger_that_turns_bad_is_rolled_back_soon_however_long_it_was_good(good_looks, loss):
    """At a share of 20 %: one that earns .3 less within 1,500 interactions, .6 less within 600, 95 times of 100."""
    random, took = np.random.default_rng(2), []
    for _ in range(100):
        worse = Gate()
        for _look in range(good_looks):
            challenger, champion = look(random, 50, 0.05, 0.2)
            worse = worse.restarted().add(challenger.losses(), champion.losses())
        seen = 0
        while not worse.promotes(ALPHA / LOOKS):
            challenger, champion = look(random, 50, loss, 0.2)
            worse = worse.restarted().add(challenger.losses(), champion.losses())
            seen += 50
        took.append(seen)
    assert np.quantile(took, 0.95) <= (600 if loss == -0.6 else 1500)


def test_a_model_makes_it_sooner_and_a_bad_one_not_much_later():
    """Interactions until a challenger that is right for 20 % more users, where being wrong earns .8, is promoted."""
    random, medians = np.random.default_rng(3), {}
    for model in ("good", "none", "bad"):
        took = []
        for _ in range(20):
            gate, seen = Gate(), 0
            while not gate.promotes(ALPHA):
                gate, seen = gate.add(*look(random, 50, 0.2, 0.5, model, least=0.8)), seen + 50
            took.append(seen)
        medians[model] = np.median(took)
    assert medians["good"] < 0.5 * medians["none"], medians
    assert medians["bad"] <= 1.5 * medians["none"], medians


def test_wealth_is_a_logarithm_and_odds_are_its_exponential():
    gate = Gate().add(*look(np.random.default_rng(4), 2000, 0.1, 0.5))
    assert gate.promotes(math.exp(-gate.wealth()) * 1.001)
    assert not gate.promotes(math.exp(-gate.wealth()) * 0.999)
