"""Evidence from episodes: a whole episode is one decision, its weight the product of its steps' weights."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditloop.rl_core.estimators import Logged
from banditloop.rl_core.estimators.anytime_valid import BettingTest
from banditloop.rl_core.evaluation.episodes.comparison import add_by_version, add_episodes
from banditloop.rl_core.evaluation.episodes.decisions import EpisodeDecisions
from banditloop.rl_core.evaluation.episodes.returns import predicted_returns, return_range
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.reward_range import RewardRange

UNIFORM, TRAINED, EXPLORATION = 0.5, 0.85, 0.1  # probability of the right one of two actions; of trained policies


def log_probabilities(right: np.ndarray, probability: float) -> np.ndarray:
    """Of the actions of episodes, right or not, bool [E, steps], by a policy with this probability of right ones."""
    return np.log(np.where(right, probability, 1 - probability)).sum(axis=1)


def played(steps: int, episodes: int, probability: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which actions were right, bool [E, steps], and the returns [E]: the share of right ones of noisy steps."""
    random = np.random.default_rng(seed)
    right = random.random((episodes, steps)) < probability
    return right, (right * (random.random((episodes, steps)) < 0.8)).mean(axis=1)


def logged_alone(steps: int, right: np.ndarray, returns: np.ndarray, probability: float) -> EpisodeDecisions:
    """Episodes that a policy with this probability of right actions answered alone."""
    zeros, ones = np.zeros(len(returns), int), np.ones((len(returns), 1))
    floor = steps * np.log(min(probability, 1 - probability))
    predicted = predicted_returns(np.full(len(returns), 0.5), returns)
    logged = log_probabilities(right, probability)
    return EpisodeDecisions(returns, predicted, logged, zeros, ones, np.array([floor]))


def held_out(steps: int, episodes: int, champion: float, candidate: float, seed: int, checks: int = 1):
    """The evidence that the candidate earns more, and less, after each check of episodes that the champion answered."""
    right, returns = played(steps, episodes, champion, seed)
    log, tests = logged_alone(steps, right, returns, champion), (BettingTest(), BettingTest())
    logs = log.as_target(log_probabilities(right, candidate)), log.as_target(log.log_propensity, 0)
    for rows in np.array_split(np.arange(episodes), checks):
        tests = add_episodes(*(part(logged, rows) for logged in logs), *tests)
        yield tests


def part(logged: Logged, rows: np.ndarray) -> Logged:
    """Some of the decisions, by position."""
    return replace(
        logged, **{f.name: getattr(logged, f.name)[rows] for f in fields(logged) if f.name != "sample_weight"}
    )


@pytest.mark.parametrize("steps", [2, 3])
def test_a_better_candidate_is_proved_on_short_episodes_and_a_worse_one_is_found(steps):
    [(better, worse)] = held_out(steps, 500, UNIFORM, TRAINED, seed=1)
    assert better.rejects(0.001)
    assert not worse.rejects()
    [(better, worse)] = held_out(steps, 1000, UNIFORM, 1 - TRAINED, seed=2)
    assert worse.rejects(0.001)
    assert not better.rejects()


@pytest.mark.parametrize(("candidate", "steps"), [(UNIFORM, 3), (0.45, 3), (0.45, 200), (0.2, 8)])
def test_an_equal_or_worse_candidate_is_practically_never_proved_better(candidate, steps):
    """At α = 0.05, of 60 logs that are checked ten times each."""
    rejected = sum(
        any(better.rejects() for better, _ in held_out(steps, 400, UNIFORM, candidate, seed, checks=10))
        for seed in range(60)
    )
    assert rejected <= 1


def test_on_long_episodes_the_weights_prove_nothing():
    """The candidate earns 70 % more in each step; the product of 200 weights leaves nothing of it."""
    [(better, worse)] = held_out(200, 500, UNIFORM, TRAINED, seed=3)
    assert not better.rejects()
    assert not worse.rejects()
    assert np.isfinite(better.log_wealth())


def shared(canary: float, steps: int, episodes: int, share: float, seed: int) -> EpisodeDecisions:
    """Episodes of a champion that acts uniformly, and of a canary with this probability of right actions."""
    by_canary = np.random.default_rng(seed).random(episodes) < share
    plays = [played(steps, episodes, probability, seed + side) for side, probability in enumerate((UNIFORM, canary))]
    returns = np.where(by_canary, plays[1][1], plays[0][1])
    predicted = predicted_returns(np.zeros(episodes), returns)
    mix = np.tile([1 - share, share], (episodes, 1))
    return EpisodeDecisions(returns, predicted, np.zeros(episodes), by_canary.astype(int), mix, np.zeros(2))


@pytest.mark.parametrize("steps", [3, 200])
def test_a_canary_is_judged_by_the_returns_of_its_episodes_however_long(steps):
    better, worse = add_by_version(shared(TRAINED, steps, 600, 0.2, seed=1), 0, 1, BettingTest(), BettingTest())
    assert better.rejects(0.001)
    assert not worse.rejects()
    better, worse = add_by_version(shared(1 - TRAINED, steps, 600, 0.2, seed=1), 0, 1, BettingTest(), BettingTest())
    assert worse.rejects(0.001)
    assert not better.rejects()


def test_a_canary_that_is_no_better_is_practically_never_proved_better_or_worse():
    tests = [
        add_by_version(shared(UNIFORM, 20, 400, 0.2, seed), 0, 1, BettingTest(), BettingTest()) for seed in range(60)
    ]
    assert sum(better.rejects() for better, _ in tests) <= 1
    assert sum(worse.rejects() for _, worse in tests) <= 1


def test_episodes_of_unknown_share_are_no_evidence_by_version():
    episodes = shared(TRAINED, 3, 50, 0.2, seed=1)
    own_alone = np.eye(2)[episodes.answered_by]
    unknown = EpisodeDecisions(
        *(getattr(episodes, name) for name in ("returns", "predicted", "log_propensity")),
        episodes.answered_by,
        own_alone,
        np.zeros(2),
    )
    better, worse = add_by_version(unknown, 0, 1, BettingTest(), BettingTest())
    assert (better.count, worse.count) == (0, 0)


@given(steps=st.integers(1, 6), share=st.floats(0.01, 0.99), seed=st.integers(0, 50))
def test_no_weight_exceeds_its_bound_and_the_mixture_bounds_those_of_its_versions(steps, share, seed):
    right, returns = played(steps, 40, 0.7, seed)
    of_both = np.column_stack([log_probabilities(right, 0.7), log_probabilities(right, 0.2)])
    mix = np.tile([1 - share, share], (40, 1))
    mixture = np.logaddexp.reduce(of_both + np.log(mix), axis=1)
    floors = steps * np.log([0.3, 0.2])
    log = EpisodeDecisions(returns, returns, mixture, np.zeros(40, int), mix, floors)
    for policy, largest in ((0, 1 / (1 - share)), (1, 1 / share), (None, np.inf)):
        column = log_probabilities(right, 0.9) if policy is None else of_both[:, policy]
        logged = log.as_target(column, policy)
        assert (logged.weight <= logged.max_weight * (1 + 1e-9)).all()
        assert (logged.max_weight <= largest).all()


def test_weights_of_episodes_without_a_known_least_propensity_are_unbounded():
    ones = np.ones(3)
    log = EpisodeDecisions(ones, ones, -ones, np.full(3, -1), np.zeros((3, 0)), np.zeros(0))
    assert np.isinf(log.as_target(-ones).max_weight).all()
    assert (log.of_the_log().weight == 1).all()


def test_predictions_are_known_before_their_episode_and_come_near_the_returns():
    random = np.random.default_rng(0)
    values = random.random(300)
    returns = 0.2 + 0.3 * values + 0.02 * random.random(300)
    predicted = predicted_returns(values, returns)
    assert predicted[0] == values[0]
    assert np.abs(predicted - returns)[150:].mean() < 0.02
    changed = np.where(np.arange(300) < 200, returns, 0)
    np.testing.assert_array_equal(predicted_returns(values, changed)[:201], predicted[:201])
    assert np.abs(predicted_returns(np.zeros(300), returns)[100:] - returns.mean()).max() < 0.05


def test_the_range_of_returns_holds_short_and_long_episodes():
    episodes = EpisodesSection(discount=0.5, max_steps=3)
    assert return_range(RewardRange(1.0, 2.0), episodes) == (1.0, 3.5)
    assert return_range(RewardRange(-1.0, 0.0), episodes) == (-1.75, 0.0)
