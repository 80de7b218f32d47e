"""One conformance suite for every agent, and LinUCB beside TF-Agents' own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_core.agents import LinUCB
from tests.conftest import assert_same

DIM, ACTIONS = 6, 5
every_agent = pytest.mark.parametrize("agent", [LinUCB(), LinUCB(alpha=0, tikhonov=0.01)], ids=repr)


def interactions(seed: int, rows: int):
    random = np.random.default_rng(seed)
    observations = random.normal(size=(rows, DIM)).astype(np.float32)
    return observations, random.integers(ACTIONS, size=rows), random.normal(size=rows)


def trained(agent, *batches):
    statistics = agent.start(DIM, ACTIONS)
    for batch in batches:
        statistics = agent.accumulate(statistics, *batch)
    return statistics


@every_agent
@given(seed=st.integers(0, 1000), rows=st.integers(1, 60), cut=st.floats(0, 1))
def test_resuming_with_the_delta_equals_a_full_retrain_in_any_order(agent, seed, rows, cut):
    whole = interactions(seed, rows)
    at = int(cut * rows)
    first, second = tuple(c[:at] for c in whole), tuple(c[at:] for c in whole)
    order = np.random.default_rng(seed).permutation(rows)
    assert_same(trained(agent, first, second), trained(agent, whole))
    assert_same(trained(agent, second, first), trained(agent, whole))
    assert_same(trained(agent, tuple(c[order] for c in whole)), trained(agent, whole))


@every_agent
def test_shards_merge(agent):
    shards = [interactions(seed, 30) for seed in range(4)]
    total = agent.start(DIM, ACTIONS)
    for shard in shards:
        total = agent.merge(total, trained(agent, shard))
    assert_same(total, trained(agent, *shards))


@every_agent
@given(seed=st.integers(0, 1000), rows=st.integers(1, 40))
def test_an_interaction_of_weight_n_trains_as_n_of_it(agent, seed, rows):
    batch = interactions(seed, rows)
    times = np.random.default_rng(seed).integers(1, 5, size=rows)
    weighted = agent.accumulate(agent.start(DIM, ACTIONS), *batch, times.astype(float))
    repeated = trained(agent, tuple(np.repeat(column, times, axis=0) for column in batch))
    guesses = [agent.expected(agent.solve(statistics), batch[0]) for statistics in (weighted, repeated)]
    np.testing.assert_allclose(*guesses, rtol=1e-6, atol=1e-9)


@every_agent
def test_probabilities_are_distributions_and_greedy_is_an_action(agent):
    weights = agent.solve(trained(agent, interactions(0, 200)))
    observations = interactions(1, 50)[0]
    probabilities = agent.probabilities(weights, observations)
    assert probabilities.shape == (50, ACTIONS)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    greedy = agent.greedy(weights, observations)
    assert greedy.shape == (50,)
    assert set(greedy) <= set(range(ACTIONS))


@every_agent
def test_training_reports_what_it_learned_from(agent):
    observations, actions, rewards = interactions(0, 100)
    figures = agent.metrics(trained(agent, (observations, np.minimum(actions, 2), rewards)))
    assert figures["interactions"] == 100
    assert figures["arms_seen"] == 3
    assert figures["mean_reward"] == pytest.approx(rewards.mean())
    assert figures["condition_number"] >= 1


@every_agent
def test_the_saved_model_takes_the_same_actions(agent, tmp_path):
    from rl_core.tf import tf

    # isort: split
    from tf_agents.trajectories import time_step

    statistics = trained(agent, interactions(0, 300))
    agent.save_model(statistics, tmp_path / "saved_model")
    observations = interactions(1, 500)[0]
    model = tf.saved_model.load(str(tmp_path / "saved_model"))
    theirs = model.action(time_step.restart(tf.constant(observations), 500)).action.numpy()
    ours = agent.probabilities(agent.solve(statistics), observations).argmax(axis=1)
    np.testing.assert_array_equal(ours, theirs)


def test_linucb_equals_tf_agents_trained_on_the_same_interactions_once():
    from rl_core.examples import trajectories
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
        batch = interaction_table(*(column[start : start + 50] for column in data))
        theirs.train(trajectories(batch, theirs.training_data_spec.policy_info))
    ours = trained(agent, data)
    np.testing.assert_allclose(ours["covariances"], [a.numpy() for a in theirs.cov_matrix], rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(ours["vectors"], [b.numpy() for b in theirs.data_vector], rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(ours["counts"], [n.numpy() for n in theirs.num_samples])
    observations = interactions(1, 300)[0]
    chosen = theirs.policy.action(time_step.restart(tf.constant(observations), 300)).action.numpy()
    assert (chosen == agent.probabilities(agent.solve(ours), observations).argmax(axis=1)).mean() > 0.99


def test_linucb_solves_the_ridge_regression():
    agent, (observations, actions, rewards) = LinUCB(tikhonov=0.3), interactions(0, 200)
    theta = agent.solve(trained(agent, (observations, actions, rewards)))["theta"]
    for arm in range(ACTIONS):
        x, r = observations[actions == arm].astype(float), rewards[actions == arm]
        np.testing.assert_allclose(theta[arm], np.linalg.solve(x.T @ x + 0.3 * np.eye(DIM), x.T @ r), rtol=1e-8)


def test_the_largest_observations_and_rewards_leave_a_policy_that_works():
    agent = LinUCB()
    statistics = trained(agent, interactions(0, 100))
    largest = np.full((50, DIM), 1e6, np.float32), np.zeros(50, int), np.full(50, 1e6)
    weights = agent.solve(agent.accumulate(statistics, *largest))
    assert all(np.isfinite(array).all() for array in weights.values())
    assert np.isfinite(agent.probabilities(weights, largest[0])).all()
    untouched = agent.solve(statistics)["theta"][1:]
    np.testing.assert_array_equal(weights["theta"][1:], untouched)


def interaction_table(observations, actions, rewards):
    import pyarrow as pa

    from rl_core.schema import INTERACTION
    from tests.conftest import START

    rows = [
        {
            "event_id": str(i),
            "timestamp": START,
            "policy_version": "v",
            "observation": observation,
            "action": action,
            "propensity": 1 / ACTIONS,
            "probabilities": [1 / ACTIONS] * ACTIONS,
            "mode": "online",
            "pass_probability": 1.0,
            "reward": reward,
        }
        for i, (observation, action, reward) in enumerate(
            zip(observations.tolist(), actions.tolist(), rewards.tolist(), strict=True)
        )
    ]
    return pa.Table.from_pylist(rows, INTERACTION)
