"""linear_thompson: its probabilities, what actions learn from each other, and features of very different sizes."""

import numpy as np
import pytest
from scipy import stats

from banditloop.rl_core.agents import ACTION_FEATURES, Batch
from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.agents.probability_of_best import probabilities_of_best
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.training.train import initial_statistics
from tests.conftest import make_config, make_policy
from tests.policies.test_linucb import FLAGGED, ROWS, raw_and_flag

AGENT = LinearThompson()


def solved(batch, dim, actions, **more):
    return AGENT.solve(AGENT.update(AGENT.initial_statistics(dim, actions), [batch]) | more)


def test_of_two_normals_the_larger_one_has_the_known_probability():
    random = np.random.default_rng(0)
    means, deviations = random.normal(size=(300, 2)), np.exp(random.normal(0, 2, size=(300, 2)))
    exact = stats.norm.cdf((means[:, 0] - means[:, 1]) / np.hypot(*deviations.T))
    np.testing.assert_allclose(probabilities_of_best(means, deviations)[:, 0], exact, atol=0.005)


@pytest.mark.parametrize("actions", [3, 20, 200])
def test_of_many_normals_each_is_the_largest_as_often_as_in_draws(actions):
    """100,000 draws: a share's standard error is at most .0016."""
    random = np.random.default_rng(actions)
    means, deviations = random.normal(0, 0.3, size=(1, actions)), np.exp(random.normal(-2, 1, size=(1, actions)))
    draws = means + deviations * random.normal(size=(100_000, actions))
    shares = np.bincount(draws.argmax(axis=1), minlength=actions) / 100_000
    np.testing.assert_allclose(probabilities_of_best(means, deviations)[0], shares, atol=0.01)


def test_narrow_normals_close_together_below_a_wide_one_are_told_apart():
    means, deviations = np.array([[0.1, 0.09, 0.0, -0.5]]), np.array([[0.01, 0.01, 0.01, 1.0]])
    above = stats.norm.sf(
        0.1, -0.5, 1
    )  # the wide one wins where it exceeds the narrow ones, of which the second seldom
    first = stats.norm.cdf(0.01 / np.hypot(0.01, 0.01))
    expected = [(1 - above) * first, (1 - above) * (1 - first), 0, above]
    np.testing.assert_allclose(probabilities_of_best(means, deviations)[0], expected, atol=0.005)


def test_equal_normals_are_equally_likely_and_what_cannot_win_is_not():
    probabilities = probabilities_of_best(np.array([[1.0, 1.0, -np.inf, -9.0]]), np.ones((1, 4)))
    np.testing.assert_allclose(probabilities, [[0.5, 0.5, 0, 0]])


def test_the_exported_policy_has_the_same_probabilities(tmp_path):
    from banditloop.rl_core.tf import tf

    # isort: split
    from tf_agents.trajectories import time_step

    make_policy(tmp_path, agent=AGENT, dim=4, actions=40, saved_model=True)
    observations = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
    step = time_step.restart(tf.constant(observations), 300)
    exported = (policy := tf.saved_model.load(str(tmp_path))).action(step).info["probabilities"]
    np.testing.assert_allclose(SavedPolicy.load(tmp_path).model.probabilities(observations), exported, atol=0.005)
    del policy  # whose variables live as long as it does


def test_actions_with_few_interactions_are_drawn_to_what_is_usual():
    """Thirty actions have nearly the same weights; with three interactions each, the fitted prior finds them."""
    random = np.random.default_rng(0)
    truth = np.array([1.0, -1.0, 0.5]) + random.normal(0, 0.05, size=(30, 3))
    observations, actions = random.normal(size=(90, 3)).astype(np.float32), np.repeat(np.arange(30), 3)
    rewards = (observations * truth[actions]).sum(axis=1) + random.normal(0, 0.3, size=90)
    seen = random.normal(size=(1000, 3)).astype(np.float32)
    errors = solved(Batch(observations, actions, rewards), 3, 30).expected_rewards(seen) - seen @ truth.T
    assert np.sqrt((errors**2).mean()) < 0.3  # a least squares regression of three rows has no degree of freedom left


def test_an_untried_action_starts_from_its_features():
    """The weights of 30 actions are linear in two features; those of five that were never taken are predicted."""
    random = np.random.default_rng(0)
    features = np.column_stack([np.ones(35), random.normal(size=(35, 2))])
    truth = features @ random.normal(size=(3, 4))
    observations, actions = random.normal(size=(6000, 4)).astype(np.float32), random.integers(30, size=6000)
    batch = Batch(observations, actions, (observations * truth[actions]).sum(axis=1) + random.normal(0, 0.1, size=6000))
    predicted = solved(batch, 4, 35, **{ACTION_FEATURES: features}).expected_rewards(observations)
    errors = predicted[:, 30:] - observations @ truth[30:].T
    assert np.sqrt((errors**2).mean()) < 0.1 * (observations @ truth[30:].T).std()
    alike = solved(batch, 4, 35).expected_rewards(observations)
    np.testing.assert_array_equal(alike[:, 30], alike[:, 34])  # without features


def test_constant_rewards_are_expected_everywhere_and_all_actions_are_equally_likely():
    random = np.random.default_rng(0)
    for reward in (0.0, 3.0):
        batch = Batch(random.normal(size=(50, 3)).astype(np.float32), np.arange(50) % 5, np.full(50, reward))
        model = solved(batch, 3, 5)
        np.testing.assert_allclose(model.expected_rewards(batch.observations), reward, atol=0.02)
        np.testing.assert_allclose(model.probabilities(batch.observations).mean(axis=0), 0.2, atol=0.1)


def test_units_and_origins_of_features_and_rewards_do_not_matter():
    random = np.random.default_rng(0)
    observations, actions = random.normal(size=(400, 3)), np.arange(400) % 4
    rewards = observations[:, 0] * (actions == 1) + observations[:, 1] * (actions == 2) + random.normal(size=400)
    scaled = observations * [1e3, 1.0, 1e-3] + [1e4, 7.0, 1.0]
    plain = solved(Batch(observations, actions, rewards), 3, 4).probabilities(observations)
    other = solved(Batch(scaled, actions, 1e3 * rewards - 500), 3, 4).probabilities(scaled)
    np.testing.assert_allclose(other, plain, atol=1e-3)


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("kind", ["equal", "close", "other"])
def test_a_flag_beside_raw_features_near_a_million_keeps_its_weight(kind, position):
    observations, flag = raw_and_flag(kind, position)
    model = solved(Batch(observations, np.zeros(ROWS, int), flag), 3, 2)
    assert flag.sum() == FLAGGED
    expected = model.expected_rewards(observations)[:, 0]
    assert expected[flag == 1] == pytest.approx(1, abs=0.12)
    assert expected[flag == 0] == pytest.approx(0, abs=0.01)


def visits(random, truth, rows=300):
    """Interactions with random actions whose expected rewards are linear: observations @ truth."""
    observations, actions = random.normal(size=(rows, 3)).astype(np.float32), random.integers(4, size=rows)
    rewards = (observations @ truth)[np.arange(rows), actions] + random.normal(size=rows)
    return Batch(observations, actions, rewards)


def after_trainings(agent, random, truths):
    """The statistics after one training for each of the truths, each resuming from the last."""
    statistics = agent.initial_statistics(3, 4)
    for truth in truths:
        statistics = agent.update(agent.resumed(statistics), [visits(random, truth)])
    return statistics


def test_after_a_change_what_was_before_is_dropped():
    random = np.random.default_rng(0)
    before, after = random.normal(size=(2, 3, 4))
    observations = random.normal(size=(1000, 3))
    errors = {}
    for half_life in ("auto", "never", 600):
        agent = LinearThompson(half_life=half_life)
        model = agent.solve(after_trainings(agent, np.random.default_rng(1), [before] * 12 + [after] * 8))
        errors[half_life] = np.sqrt(((model.expected_rewards(observations) - observations @ after) ** 2).mean())
    assert errors["auto"] < 0.3 < 0.6 < errors["never"]
    assert errors[600] < 0.7 * errors["never"]


@pytest.mark.parametrize("seed", range(5))
def test_without_a_change_nothing_is_dropped(seed):
    random = np.random.default_rng(seed)
    statistics = after_trainings(AGENT, random, [random.normal(size=(3, 4))] * 20)
    assert statistics["covariances"][:, 0, 0].sum() == statistics["counts"].sum() == 20 * 300
    assert statistics["evidence"][0] < 10


def test_a_training_resumes_from_interactions_that_count_less_by_the_half_life(tmp_path):
    agent = LinearThompson(half_life=400)
    make_policy(tmp_path, agent=agent, dim=4, actions=4)  # trained on 400 interactions
    config = make_config(tmp_path, agent=agent.model_dump())
    resumed = initial_statistics(config, Encoding.of_vectors(4, 5), tmp_path)
    assert resumed["covariances"][:, 0, 0].sum() == pytest.approx(200)
    assert resumed["counts"].sum() == 400
    assert len(resumed["counts"]) == 5


def test_statistics_of_another_kind_of_half_life_are_not_resumed_from():
    agents = [AGENT, LinearThompson(half_life="never"), LinearThompson(half_life=100)]
    for agent in agents:
        others = [other for other in agents if agent.can_resume_from(other.model_dump(mode="json"))]
        assert others == [agent]
    assert agents[2].can_resume_from({"name": "linear_thompson", "half_life": 200.0})
