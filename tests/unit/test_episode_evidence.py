"""Evidence from episodes: a whole episode is one decision, its weight the product of its steps' weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from banditloop.rl_core.evaluation.episodes.comparison import add_by_version
from banditloop.rl_core.evaluation.episodes.decisions import EpisodeDecisions
from banditloop.rl_core.evaluation.episodes.returns import predicted_returns, return_range
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.reward_range import RewardRange
from tests.benchmarks.sequential_canary import judged
from tests.support.right_actions import TRAINED, UNIFORM, held_out, log_probabilities, played, shared


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


@pytest.mark.parametrize("size", [4, 50])
def test_a_canary_is_judged_rightly_while_rewards_and_shares_move(size):
    """Of 30 canaries that are no better and no worse, checked 30 times; of 4 episodes one version may have none."""
    promoted, rolled_back = np.sum([judged(seed, 30, size) for seed in range(30)], axis=0)
    assert promoted <= 1
    assert rolled_back <= 1


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


def test_a_range_of_returns_in_the_config_is_taken_as_it_is():
    episodes = EpisodesSection.model_validate({"return_range": [-10.0, 20.0]})
    assert return_range(RewardRange(-1e6, 1e6), episodes) == (-10.0, 20.0)


@pytest.mark.parametrize("values", [[20.0, -10.0], [0.0, 0.0], [0.0]])
def test_a_range_of_returns_has_two_bounds_in_their_order(values):
    with pytest.raises(ValidationError, match="give the least and the greatest return, as"):
        EpisodesSection.model_validate({"return_range": values})
