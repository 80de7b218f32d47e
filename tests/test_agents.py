"""One conformance suite for every agent, one for those whose statistics are sums, and LinUCB beside TF-Agents' own."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_core.agents import AGENTS, SAVED_MODEL, Batch, LinUCB, NeuralEpsilonGreedy
from tests import conftest
from tests.conftest import assert_same

DIM, ACTIONS = 6, 5
TRUTH = np.random.default_rng(7).normal(size=(DIM, ACTIONS))
AGENTS_TRIED = [
    LinUCB(),
    LinUCB(alpha=0, tikhonov=0.01),
    NeuralEpsilonGreedy(),
    NeuralEpsilonGreedy(layers=1, units=16, minibatch=7, epochs=30, memory=0, seed=3),
]
every_agent = pytest.mark.parametrize("agent", AGENTS_TRIED, ids=repr)
every_sum = pytest.mark.parametrize("agent", AGENTS_TRIED[:2], ids=repr)


@pytest.mark.parametrize("tried", [AGENTS_TRIED, conftest.AGENTS], ids=["here", "elsewhere"])
def test_every_agent_is_tried(tried):
    assert {agent.name for agent in tried} == set(AGENTS)


def interactions(seed: int, rows: int) -> Batch:
    random = np.random.default_rng(seed)
    observations = random.normal(size=(rows, DIM)).astype(np.float32)
    return Batch(observations, random.integers(ACTIONS, size=rows), random.normal(size=rows))


def trained(agent, *batches):
    return agent.learn(agent.start(DIM, ACTIONS), [Batch(*batch) for batch in batches])


def model_of(agent, statistics):
    """What serves: as it is after having been written and read."""
    with tempfile.TemporaryDirectory() as folder:
        agent.save(statistics, Path(folder))
        return agent.load(Path(folder))


@every_agent
def test_learning_is_a_function_of_what_is_learned(agent):
    first, second = interactions(0, 100), interactions(1, 50)
    once = trained(agent, first)
    for left, right in ((once, trained(agent, first)), (agent.learn(once, [second]), agent.learn(once, [second]))):
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])


@every_agent
def test_nothing_to_learn_changes_nothing(agent):
    for statistics in (agent.start(DIM, ACTIONS), trained(agent, interactions(0, 100))):
        for batches in ([], [interactions(0, 0)]):
            assert_same(agent.learn(statistics, batches), statistics)


def linear(seed: int, rows: int) -> Batch:
    """Rewards that are linear in the observation and random actions, with noise of deviation 0.1."""
    observations, actions, noise, _ = interactions(seed, rows)
    return Batch(observations, actions, (observations @ TRUTH)[np.arange(rows), actions] + 0.1 * noise)


def right(agent, statistics, observations=lambda x: x) -> float:
    """The share of greedy actions that are the best ones."""
    asked = interactions(99, 1000).observations
    greedy = model_of(agent, statistics).greedy(observations(asked))
    return float((greedy == (asked @ TRUTH).argmax(axis=1)).mean())


@every_agent
def test_it_learns_which_action_is_best_in_one_training_or_in_several(agent):
    statistics = agent.start(DIM, ACTIONS)
    for seed in range(8):
        statistics = agent.learn(statistics, [linear(seed, 500)])
    for learned in (trained(agent, linear(0, 4000)), trained(agent, *(linear(s, 500) for s in range(8))), statistics):
        assert right(agent, learned) > 0.9


@every_agent
def test_interactions_count_by_their_weights(agent):
    """Of equal users who reward the same action by 0 or 1, those that reward it stand for three each: 0.75."""
    random = np.random.default_rng(0)
    observations = random.normal(size=(2000, DIM)).astype(np.float32)
    observations[:, 0] = 1.0  # a constant, for models without one
    rewards = random.integers(2, size=2000).astype(float)
    batch = Batch(observations, random.integers(ACTIONS, size=2000), rewards, 1 + 2 * rewards)
    expected = model_of(agent, trained(agent, batch)).expected(observations)
    assert expected.mean() == pytest.approx(0.75, abs=0.03)  # three standard errors


@every_agent
@pytest.mark.parametrize("rows", [0, 200])
def test_probabilities_are_distributions_and_greedy_is_an_action(agent, rows):
    model = model_of(agent, trained(agent, interactions(0, rows)))
    assert model.shape == (DIM, ACTIONS)
    for many in (1, 2, 50, 600):
        observations = interactions(1, many).observations
        probabilities = model.probabilities(observations)
        assert probabilities.shape == model.expected(observations).shape == (many, ACTIONS)
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        greedy = model.greedy(observations)
        assert greedy.shape == (many,)
        assert set(greedy) <= set(range(ACTIONS))


@every_agent
def test_what_it_answers_does_not_depend_on_who_else_asks(agent):
    model, asked = model_of(agent, trained(agent, interactions(0, 300))), interactions(1, 100).observations
    alone = np.concatenate([model.probabilities(asked[row : row + 1]) for row in range(100)])
    np.testing.assert_array_equal(alone, model.probabilities(asked))


@every_agent
def test_training_reports_what_it_learned_from(agent):
    observations, actions, rewards, _ = interactions(0, 100)
    figures = agent.metrics(trained(agent, (observations, np.minimum(actions, 2), rewards)))
    figure = {"linucb": "condition_number", "neural_epsilon_greedy": "loss"}[agent.name]
    assert figures["interactions"] == 100
    assert figures["arms_seen"] == 3
    assert figures["mean_reward"] == pytest.approx(rewards.mean())
    assert figures[figure] > 0


@every_agent
def test_the_saved_model_takes_the_same_actions(agent, tmp_path):
    from rl_core.tf import tf

    # isort: split
    from tf_agents.trajectories import time_step

    statistics = trained(agent, interactions(0, 300))
    agent.save(statistics, tmp_path)
    observations = interactions(1, 500).observations
    policy = tf.saved_model.load(str(tmp_path / SAVED_MODEL))
    theirs = policy.action(time_step.restart(tf.constant(observations), 500)).action.numpy()
    ours = agent.load(tmp_path).probabilities(observations).argmax(axis=1)
    np.testing.assert_array_equal(ours, theirs)


@every_agent
def test_the_largest_observations_and_rewards_leave_a_policy_that_works(agent):
    largest = Batch(np.full((50, DIM), 1e6, np.float32), np.zeros(50, int), np.full(50, 1e6))
    for first in (interactions(0, 100), largest, interactions(0, 1)):
        statistics = trained(agent, first, largest, interactions(1, 100))
        assert all(np.isfinite(array).all() for array in statistics.values())
        for asked in (largest.observations, interactions(2, 50).observations):
            assert np.isfinite(model_of(agent, statistics).expected(asked)).all()


@every_agent
def test_it_goes_on_from_its_own_statistics_only(agent):
    section = agent.model_dump(mode="json")
    assert agent.resumes(section)
    assert not any(
        agent.resumes(other().model_dump(mode="json")) for name, other in AGENTS.items() if name != agent.name
    )


@every_sum
@given(seed=st.integers(0, 1000), rows=st.integers(1, 60), cut=st.floats(0, 1))
def test_resuming_with_the_delta_equals_a_full_retrain_in_any_order(agent, seed, rows, cut):
    whole = interactions(seed, rows)[:3]
    at = int(cut * rows)
    first, second = tuple(c[:at] for c in whole), tuple(c[at:] for c in whole)
    order = np.random.default_rng(seed).permutation(rows)
    assert_same(trained(agent, first, second), trained(agent, whole))
    assert_same(trained(agent, second, first), trained(agent, whole))
    assert_same(trained(agent, tuple(c[order] for c in whole)), trained(agent, whole))


@every_sum
def test_shards_merge(agent):
    shards = [interactions(seed, 30) for seed in range(4)]
    total = agent.start(DIM, ACTIONS)
    for shard in shards:
        total = agent.merge(total, trained(agent, shard))
    assert_same(total, trained(agent, *shards))


@every_sum
@given(seed=st.integers(0, 1000), rows=st.integers(1, 40))
def test_an_interaction_of_weight_n_trains_as_n_of_it(agent, seed, rows):
    batch = interactions(seed, rows)[:3]
    times = np.random.default_rng(seed).integers(1, 5, size=rows)
    weighted = trained(agent, (*batch, times.astype(float)))
    repeated = trained(agent, tuple(np.repeat(column, times, axis=0) for column in batch))
    guesses = [agent.solve(statistics).expected(batch[0]) for statistics in (weighted, repeated)]
    np.testing.assert_allclose(*guesses, rtol=1e-6, atol=1e-9)


def test_linucb_equals_tf_agents_trained_on_the_same_interactions_once():
    from rl_core.agents.trajectories import trajectories
    from rl_core.tf import tf

    # isort: split
    from tf_agents.bandits.agents.lin_ucb_agent import LinearUCBAgent
    from tf_agents.specs import tensor_spec
    from tf_agents.trajectories import time_step

    agent, data = LinUCB(alpha=0.7, tikhonov=0.5), interactions(0, 400)
    theirs = LinearUCBAgent(
        time_step.time_step_spec(tensor_spec.TensorSpec([DIM], tf.float32)),
        tensor_spec.BoundedTensorSpec((), tf.int32, 0, ACTIONS - 1),
        alpha=0.7,
        tikhonov_weight=0.5,
        dtype=tf.float64,
    )
    for start in range(0, 400, 50):
        batch = (column[start : start + 50] for column in data[:3])
        theirs.train(trajectories(*batch, theirs.training_data_spec.policy_info))
    ours = trained(agent, data)
    np.testing.assert_allclose(ours["covariances"], [a.numpy() for a in theirs.cov_matrix], rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(ours["vectors"], [b.numpy() for b in theirs.data_vector], rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(ours["counts"], [n.numpy() for n in theirs.num_samples])
    observations = interactions(1, 300)[0]
    chosen = theirs.policy.action(time_step.restart(tf.constant(observations), 300)).action.numpy()
    assert (chosen == agent.solve(ours).probabilities(observations).argmax(axis=1)).mean() > 0.99


def test_linucb_solves_the_ridge_regression():
    agent, (observations, actions, rewards, _) = LinUCB(tikhonov=0.3), interactions(0, 200)
    theta = agent.solve(trained(agent, (observations, actions, rewards))).theta
    for arm in range(ACTIONS):
        x, r = observations[actions == arm].astype(float), rewards[actions == arm]
        np.testing.assert_allclose(theta[arm], np.linalg.solve(x.T @ x + 0.3 * np.eye(DIM), x.T @ r), rtol=1e-8)


def test_what_one_arm_of_linucb_earns_leaves_the_others_as_they_were():
    agent, statistics = LinUCB(), trained(LinUCB(), interactions(0, 100))
    largest = Batch(np.full((50, DIM), 1e6, np.float32), np.zeros(50, int), np.full(50, 1e6))
    models = [agent.solve(found) for found in (statistics, agent.learn(statistics, [largest]))]
    np.testing.assert_array_equal(*(model.theta[1:] for model in models))
