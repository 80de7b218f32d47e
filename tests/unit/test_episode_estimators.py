"""Estimators for episodes: limiting cases, the bandit estimators of one step, padding, order, and refused input."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from banditloop.rl_core.agents.transitions import Transitions
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import DR, IPS, SNIPS, DirectMethod, Logged
from banditloop.rl_core.estimators.episodes import (
    EPISODE_ESTIMATORS,
    Estimate,
    LoggedEpisodes,
    fqe,
    per_decision_is,
    sequential_dr,
)
from banditloop.rl_core.estimators.episodes.diagnostics import diagnostics, warnings
from banditloop.rl_core.estimators.episodes.fitted_values import FittedValues
from banditloop.rl_core.estimators.episodes.logged_episodes import EpisodeRows
from banditloop.rl_core.estimators.episodes.step_features import StepFeatures, depends_on_step, observed_features
from tests.benchmarks.sequential_ope import cartpole, measure, rmse
from tests.support.grid_world import STATES, UNIFORM, action_values, episodes, epsilon_greedy, value

every_estimator = pytest.mark.parametrize("estimate", EPISODE_ESTIMATORS.values(), ids=EPISODE_ESTIMATORS.keys())
LOGGING, TARGET = epsilon_greedy(0.5), epsilon_greedy(0.2)


def with_model(transitions, target, values):
    """The episodes with a model's values [states, actions]."""
    state = (transitions.observations @ np.arange(STATES)).astype(int)
    pad = EpisodeRows(transitions.episodes).pad
    predicted, expected = values[state, transitions.actions], (target * values).sum(axis=1)[state]
    return replace(LoggedEpisodes.of(transitions, target[state]), predicted=pad(predicted), expected=pad(expected))


@pytest.fixture(scope="module")
def log():
    return episodes(LOGGING, 300, np.random.default_rng(0))


@pytest.fixture(scope="module")
def logged(log):
    """With a model whose values are wrong by .3."""
    return with_model(log, TARGET, action_values(TARGET) + 0.3)


@every_estimator
def test_of_the_logging_policy_the_estimate_is_the_mean_return_exactly(estimate, log):
    """With a model of 0, which tells nothing; the log's episodes have from 8 to 46 steps."""
    own = LoggedEpisodes.of(log, log.propensities)
    result = estimate(own)
    if estimate is EPISODE_ESTIMATORS["fqe"]:
        assert result.value == 0
    elif (
        estimate is EPISODE_ESTIMATORS["magic"]
    ):  # it believes in a model whose bias the log does not show: here it shows
        assert result.value == pytest.approx(own.returns.mean(), rel=0.02)
    else:
        assert result.value == pytest.approx(own.returns.mean(), rel=1e-12)
        assert result.standard_error() == pytest.approx(own.returns.std(ddof=1) / np.sqrt(300), rel=1e-3)


@every_estimator
def test_padding_and_the_order_of_episodes_change_nothing(estimate, log, logged):
    expected = estimate(logged)
    order = np.random.default_rng(1).permutation(300)
    permuted = log.take(np.concatenate([np.flatnonzero(log.episodes == number) for number in order]))
    renumbered = permuted._replace(episodes=np.repeat(np.arange(300), np.bincount(log.episodes)[order]))
    again = estimate(with_model(renumbered, TARGET, action_values(TARGET) + 0.3))
    padded = {name: np.pad(getattr(logged, name), ((0, 0), (0, 7))) for name in ("rewards", "predicted", "expected")}
    padded |= {
        name: np.pad(getattr(logged, name), ((0, 0), (0, 7)), "constant", constant_values=1)
        for name in ("ratios", "discounts")
    }
    longer = estimate(replace(logged, **padded))
    assert again.value == pytest.approx(expected.value, rel=1e-9)
    np.testing.assert_allclose(again.influence, expected.influence[order], atol=1e-9)
    if estimate is not EPISODE_ESTIMATORS["magic"]:  # its returns are of 25 numbers of steps between 0 and the longest
        assert longer.value == pytest.approx(expected.value, rel=1e-12)
        assert longer.interval() == pytest.approx(expected.interval(), rel=1e-12)


@pytest.fixture(scope="module")
def one_step():
    """Episodes of a single decision, as transitions with a target, and as decisions of the bandit estimators."""
    random, size = np.random.default_rng(2), 200
    propensities, target = random.uniform(0.2, 0.9, size), random.uniform(0.05, 0.9, size)
    rewards, predicted, expected = random.random((3, size))
    step, ends = np.zeros(size, int), np.ones(size, bool)
    transitions = Transitions(
        step[:, None], step, rewards, step[:, None], 0.0 * step, ends, np.arange(size), step, propensities
    )
    logged = LoggedEpisodes.of(transitions, target)
    logged = replace(logged, predicted=predicted[:, None], expected=expected[:, None])
    return logged, Logged(rewards, propensities, target, predicted, expected)


@pytest.mark.parametrize(
    ("name", "bandit"),
    [
        ("per_decision_is", IPS),
        ("weighted_is", SNIPS),
        ("per_decision_weighted_is", SNIPS),
        ("sequential_dr", DR),
        ("fqe", DirectMethod),
    ],
)
def test_of_one_step_they_are_the_bandit_estimators(one_step, name, bandit):
    logged, decisions = one_step
    expected = bandit()
    expected.add(decisions)
    result = EPISODE_ESTIMATORS[name](logged)
    assert result.value == pytest.approx(expected.value(), rel=1e-12)
    jackknife = 1e-9 if bandit is not SNIPS else 0.01  # the delta method there
    assert result.standard_error() == pytest.approx(expected.standard_error(), rel=jackknife)


@pytest.mark.parametrize("name", ["weighted_is", "per_decision_weighted_is", "weighted_dr"])
def test_constant_rewards_of_episodes_of_one_length_give_that_constant(name, one_step):
    logged, _ = one_step
    random = np.random.default_rng(3)
    steps = {
        "rewards": np.full((200, 5), 0.7),
        "ratios": random.uniform(0, 3, (200, 5)),
        "discounts": np.ones((200, 5)),
    }
    model = {"predicted": np.zeros((200, 5)), "expected": np.zeros((200, 5))}
    result = EPISODE_ESTIMATORS[name](replace(logged, **steps, **model))
    assert result.value == pytest.approx(5 * 0.7)
    assert result.standard_error() < 1e-9


def test_a_right_model_without_noise_leaves_nothing_to_correct(log):
    """The world is deterministic: r + γ v - q is 0 at every step."""
    exact = with_model(log, TARGET, action_values(TARGET))
    for name in ("sequential_dr", "weighted_dr", "magic", "fqe"):
        assert EPISODE_ESTIMATORS[name](exact).value == pytest.approx(value(TARGET), abs=1e-6)


def test_sequential_dr_is_jiang_and_lis_recursion(logged):
    following = np.zeros(len(logged.shares))
    for step in reversed(range(logged.rewards.shape[1])):
        error = logged.rewards[:, step] + 0.9 * following - logged.predicted[:, step]
        following = logged.expected[:, step] + logged.ratios[:, step] * error
    assert EPISODE_ESTIMATORS["sequential_dr"](logged).value == pytest.approx(following.mean(), rel=1e-9)


def test_random_cartpole_has_the_mean_return_of_its_log_though_lengths_differ():
    """ReAgent's weighted DR says 82 here, the length of the longest episode: it forgets those that are over."""
    lengths = cartpole_lengths(400)
    number = np.repeat(np.arange(400), lengths)
    ones, step = np.ones(len(number)), np.arange(len(number)) - np.repeat(lengths.cumsum() - lengths, lengths)
    known, half = ones.astype(bool), 0.5 * ones
    transitions = Transitions(ones[:, None], 0 * number, ones, ones[:, None], ones, known, number, step, half)
    logged = LoggedEpisodes.of(transitions, half)
    for name in ("weighted_dr", "sequential_dr", "weighted_is", "per_decision_weighted_is", "per_decision_is"):
        low, high = EPISODE_ESTIMATORS[name](logged).interval()
        assert EPISODE_ESTIMATORS[name](logged).value == pytest.approx(lengths.mean())
        assert low < 22.3 < high < lengths.max() / 2  # the mean of 100,000 random episodes


def cartpole_lengths(count):
    """The numbers of steps [count] of uniformly random episodes."""
    environment, random, lengths = gymnasium.make("CartPole-v1").unwrapped, np.random.default_rng(0), []
    for seed in range(count):
        environment.reset(seed=seed)
        lengths.append(1)
        while not environment.step(int(random.integers(2)))[2]:
            lengths[-1] += 1
    return np.array(lengths)


def test_sums_stay_finite_over_a_thousand_steps_and_say_so_where_nothing_is_left():
    shape = (20, 1_000)
    logged = LoggedEpisodes(
        np.ones(shape),
        np.full(shape, 4.0),
        np.ones(shape),
        np.full(20, 1_000),
        np.full(20, 0.05),
        *np.zeros((2, *shape)),
    )
    assert EPISODE_ESTIMATORS["weighted_dr"](logged).value == pytest.approx(1_000)
    assert EPISODE_ESTIMATORS["weighted_is"](logged).value == pytest.approx(1_000)
    nobody = replace(logged, ratios=np.where(np.arange(1_000) < 500, 1.0, 0.0) * np.ones(shape))
    assert np.isnan(EPISODE_ESTIMATORS["weighted_is"](nobody).value)
    assert np.isnan(EPISODE_ESTIMATORS["per_decision_weighted_is"](nobody).value)
    model = replace(nobody, expected=np.full(shape, 7.0), predicted=np.full(shape, 7.0))
    assert EPISODE_ESTIMATORS["weighted_dr"](model).value == pytest.approx(507)  # the model's value from step 500 on


def test_episodes_of_which_a_sample_was_logged_count_for_all(log):
    weights = np.where(log.episodes < 150, 1.0, 10.0)
    sampled = LoggedEpisodes.of(log._replace(sample_weight=weights), log.propensities)
    repeated = np.average(sampled.returns, weights=np.where(np.arange(300) < 150, 1.0, 10.0))
    for name in ("weighted_dr", "per_decision_is", "weighted_is"):
        assert EPISODE_ESTIMATORS[name](sampled).value == pytest.approx(repeated)


def test_differences_and_ratios_on_the_same_episodes_have_the_error_of_pairs(log, logged):
    own, weighted_dr = LoggedEpisodes.of(log, log.propensities), EPISODE_ESTIMATORS["weighted_dr"]
    mean = weighted_dr(own)
    assert (mean - mean).interval() == (0, 0)
    assert (mean / mean).interval() == (1, 1)
    ratio, target = weighted_dr(logged) / mean, weighted_dr(logged)
    assert ratio.value == pytest.approx(target.value / mean.value)
    assert np.isnan((mean / Estimate(0.0, mean.influence)).value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"propensities": np.array([0.5, np.nan])}, "propensity: .* known"),
        ({"propensities": np.array([0.0, 1])}, "above 0"),
    ],
)
def test_episodes_that_estimators_cannot_use_are_refused(log, changes, message):
    two = log.take(slice(0, 2))
    with pytest.raises(InvalidInput, match=message):
        LoggedEpisodes.of(two._replace(**changes), np.ones(2))
    with pytest.raises(InvalidInput, match="target: a probability"):
        LoggedEpisodes.of(two, np.array([0.5, 1.5]))
    with pytest.raises(InvalidInput, match="there are none"):
        LoggedEpisodes.of(two.take(slice(0, 0)), np.ones(0))


@pytest.mark.parametrize(("logging", "epsilon", "count"), [(LOGGING, 0.2, 500), (UNIFORM, 0.3, 100)])
def test_values_fitted_to_a_table_of_states_are_exact(logging, epsilon, count):
    """The world's 25 states as features; against dynamic programming, as ReAgent's own test has it."""
    target = epsilon_greedy(epsilon)
    log = episodes(logging, count, np.random.default_rng(4), max_steps=1_000)
    logged = fitted(log, target, log.observations, l2=1e-6)
    state = log.observations.argmax(axis=1)
    assert EPISODE_ESTIMATORS["fqe"](logged).value == pytest.approx(value(target), abs=1e-3)
    values = logged.predicted[EpisodeRows(log.episodes).episode, EpisodeRows(log.episodes).ordinal]
    np.testing.assert_allclose(values, action_values(target)[state, log.actions], atol=1e-2)
    for name in ("weighted_dr", "magic", "sequential_dr"):
        assert EPISODE_ESTIMATORS[name](logged).value == pytest.approx(value(target), abs=1e-3)


@every_estimator
def test_estimates_are_within_their_stated_error_of_the_truth(estimate, log):
    """By features that do not tell states apart: the model is wrong, and the estimates mend it."""
    column, row = (log.observations @ np.stack([np.arange(STATES) % 5, np.arange(STATES) // 5], axis=1)).T
    result = estimate(fitted(log, TARGET, np.column_stack([column, row, np.ones(len(row))])))
    if estimate is EPISODE_ESTIMATORS["fqe"]:
        assert abs(result.value - value(TARGET)) < 0.2
    else:
        low, high = result.interval()
        assert low < value(TARGET) < high
        assert high - low < 0.3


def fitted(log, target, features, l2=1.0):
    probabilities = target[log.observations.argmax(axis=1)]
    return FittedValues(log, probabilities, StepFeatures(features), l2).fit(LoggedEpisodes.of(log, probabilities))[0]


def test_the_interval_of_fitted_values_has_the_variance_of_the_fit():
    """The standard error, of one log, is the spread of the estimates over logs: rewards here are noisy."""
    values, errors = [], []
    for seed in range(40):
        random = np.random.default_rng(seed)
        log = episodes(LOGGING, 150, random)
        noisy = log._replace(rewards=log.rewards + random.normal(0, 0.1, len(log.rewards)))
        result = EPISODE_ESTIMATORS["fqe"](fitted(noisy, TARGET, noisy.observations, 1e-3))
        values.append(result.value)
        errors.append(result.standard_error())
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)  # 2.7 standard errors of a spread of 40 values
    assert np.mean(values) == pytest.approx(value(TARGET), abs=4 * np.std(values) / 40**0.5)


def test_steps_are_features_where_values_depend_on_them(log):
    ends, cut = log, log._replace(is_known=log.steps != 20)
    assert not depends_on_step(ends)
    assert depends_on_step(cut)
    assert depends_on_step(ends._replace(discounts=np.sign(ends.discounts)))
    first, of_cut, of_ends = np.arange(1), observed_features(cut, 4), observed_features(ends, 4)
    assert of_cut(first).shape[1] == of_ends(first).shape[1] + 1


def test_values_of_episodes_of_equal_lengths_are_those_of_their_steps():
    """Three steps that look alike, at each of which one of two actions earns 1: the value is what is left to earn."""
    random, count, discount = np.random.default_rng(0), 400, 0.9
    steps, actions = np.tile(np.arange(3), count), random.integers(2, size=3 * count)
    seen, last = random.normal(size=(3 * count, 1)), steps == 2
    numbers, following = np.repeat(np.arange(count), 3), np.roll(seen, -1, axis=0)
    columns = actions.astype(float), following, np.where(last, 0.0, discount), np.ones(3 * count, bool), numbers, steps
    played = Transitions(seen, actions, *columns, np.full(3 * count, 0.5))
    target = np.tile([0.2, 0.8], (3 * count, 1))
    assert depends_on_step(played)
    found = FittedValues(played, target, observed_features(played, 2)).fit(LoggedEpisodes.of(played, target))[0]
    assert fqe(found).value == pytest.approx(0.8 * (1 + discount + discount**2), abs=0.02)


def test_the_diagnostics_say_from_which_step_on_weights_are_worth_little(log):
    own = LoggedEpisodes.of(log, log.propensities)
    numbers = diagnostics(own)
    assert numbers["effective_episodes"] == pytest.approx(300)
    assert numbers["steps_with_support"] == numbers["longest"] == log.steps.max() + 1
    assert numbers["without_overlap"] == 0
    assert warnings(numbers, 300, 0, 0, has_model=True, depends_on_step=False) == []
    greedy = epsilon_greedy(0.0)[log.observations.argmax(axis=1)]
    numbers = diagnostics(LoggedEpisodes.of(log, greedy))
    assert numbers["effective_episodes"] < 30
    assert 0 < numbers["steps_with_support"] < 8
    horizon, gaps, cut, step = warnings(numbers, 300, 5, 6, has_model=True, depends_on_step=True)
    assert horizon.startswith(f"horizon: from step {numbers['steps_with_support']} of")
    assert horizon.endswith("at the end): estimates rely on the model from there")
    without_model, *_ = warnings(numbers, 300, 0, 0, has_model=False, depends_on_step=False)
    assert without_model.endswith("at the end), and there is no model to rely on")
    assert gaps.startswith("6 of 300 episodes lack steps")
    assert cut.startswith("5 of 300 episodes were cut off")
    assert "step" in step


def test_reagents_one_step_values_are_reproduced():
    """Those of its test_evaluation_data_page: rewards 4, 5, 7 of actions with these propensities and targets."""
    step, rewards, ends = np.zeros(3, int), np.array([4.0, 5.0, 7.0]), np.ones(3, bool)
    propensities = np.array([0.2, 0.5, 0.4])
    log = Transitions(step[:, None], step, rewards, step[:, None], 0.0 * step, ends, np.arange(3), step, propensities)
    assert per_decision_is(LoggedEpisodes.of(log, np.array([0.4, 0.3, 0.7]))).value == pytest.approx(7.75)
    greedy = LoggedEpisodes.of(log, np.array([0.0, 1.0, 0.0]))
    assert per_decision_is(greedy).value == pytest.approx(5 / 0.5 / 3)
    model = replace(greedy, predicted=np.array([[1.0], [4.0], [5.0]]), expected=np.array([[1.0], [4.0], [5.0]]))
    assert fqe(model).value == pytest.approx(10 / 3)
    assert sequential_dr(model).value == pytest.approx(4.0)


def test_the_return_of_another_policy_in_cartpole_is_found():
    """The short form of `make bench-sequential`; the truth is the mean of 20,000 episodes."""
    found = measure(cartpole(0.2, 80), 3)
    assert rmse(found["weighted_dr"], 82.1) < 5
    assert rmse(found["fqe"], 82.1) < 5
    assert rmse(found["weighted_is"], 82.1) > rmse(found["weighted_dr"], 82.1)
