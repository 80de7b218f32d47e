"""Every agent passes the conformance suite; mergeable agents with searched examples; LinUCB equals TF-Agents'."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banditloop.rl_core.agents import ACTION_FEATURES, AGENTS, Batch, MergeableAgent
from banditloop.rl_core.agents.agent import best_actions
from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.linucb_model import LinUCBModel
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy
from banditloop.rl_core.agents.neural_linear import NeuralLinear
from banditloop.rl_core.testing.agents import AgentConformance
from banditloop.rl_core.testing.merging import (
    MergeConformance,
    assert_resuming_equals_retraining,
    assert_weights_equal_repetition,
)
from banditloop.rl_core.testing.planted import ACTIONS, DIM, noise, trained
from tests.policies.test_exploring_agents import AGENTS as EXPLORING_AGENTS
from tests.policies.test_sequential_agents import TESTED_AGENTS as SEQUENTIAL_AGENTS

TESTED_AGENTS = [
    LinUCB(),
    LinUCB(alpha=0, l2=0.01),
    LinearThompson(),
    LinearThompson(half_life=100, alpha=0.5),
    LinearThompson(half_life="never"),
    NeuralEpsilonGreedy(),
    NeuralEpsilonGreedy(hidden_layers=1, hidden_units=16, batch_size=7, epochs=30, replay_size=0, seed=3),
    NeuralLinear(hidden_layers=1, hidden_units=16, epochs=10),
]
BAD_HYPERPARAMETERS = {
    "linear_thompson": [{"alpha": 0.0}, {"alpha": float("nan")}, {"half_life": 0.0}, {"half_life": "sometimes"}],
    "linucb": [{"alpha": -1.0}, {"alpha": float("nan")}, {"l2": 0.0}],
    "neural_epsilon_greedy": [{"hidden_layers": 0}, {"learning_rate": 2.0}, {"replay_size": -1}, {"epochs": 0}],
    "neural_linear": [{"alpha": 0.0}, {"replay_size": 0}],
}
METRICS = {
    "linear_thompson": "noise",
    "linucb": "condition_number",
    "neural_epsilon_greedy": "loss",
    "neural_linear": "error",
}
SLOW = {NeuralEpsilonGreedy(): pytest.mark.slow}  # its smaller form runs with the other tests of this machine
every_agent = pytest.mark.parametrize(
    "agent", [pytest.param(agent, marks=SLOW.get(agent, ())) for agent in TESTED_AGENTS], ids=repr
)
MERGEABLE = [agent for agent in TESTED_AGENTS if isinstance(agent, MergeableAgent)]
OTHERS = [agent for agent in TESTED_AGENTS if agent not in MERGEABLE]
every_mergeable = pytest.mark.parametrize("agent", MERGEABLE, ids=repr)


def test_every_agent_is_tested():
    elsewhere = {"tf_agents", "ppo"}  # test_tf_agents.py, test_ppo.py
    assert {agent.name for agent in [*TESTED_AGENTS, *EXPLORING_AGENTS, *SEQUENTIAL_AGENTS]} | elsewhere == set(AGENTS)


class TestAgents(AgentConformance):
    @pytest.fixture(autouse=True, params=OTHERS, ids=repr)
    def every_agent(self, request):
        self.agent, self.bad_hyperparameters = request.param, BAD_HYPERPARAMETERS[request.param.name]


class TestMergeableAgents(AgentConformance, MergeConformance):
    @pytest.fixture(autouse=True, params=MERGEABLE, ids=repr)
    def every_agent(self, request):
        self.agent, self.bad_hyperparameters = request.param, BAD_HYPERPARAMETERS[request.param.name]


@every_agent
def test_each_agent_reports_its_own_metric(agent):
    assert agent.metrics(trained(agent, noise(0, 100)))[METRICS[agent.name]] > 0


@every_mergeable
@settings(deadline=None)
@given(seed=st.integers(0, 1000), rows=st.integers(1, 60), fraction=st.floats(0, 1))
def test_resuming_equals_training_on_everything_in_any_order(agent, seed, rows, fraction):
    assert_resuming_equals_retraining(agent, seed, rows, fraction)


@every_mergeable
@settings(deadline=None)
@given(seed=st.integers(0, 1000), rows=st.integers(1, 40))
def test_an_interaction_of_weight_n_counts_as_n_interactions(agent, seed, rows):
    assert_weights_equal_repetition(agent, seed, rows)


def test_linucb_equals_tf_agents_trained_on_the_same_interactions_once():
    from banditloop.rl_core.events.trajectories import trajectories
    from banditloop.rl_core.tf import tf

    # isort: split
    from tf_agents.bandits.agents.lin_ucb_agent import LinearUCBAgent
    from tf_agents.specs import tensor_spec
    from tf_agents.trajectories import time_step

    agent, interactions = LinUCB(alpha=0.7, l2=0.5), noise(0, 400)
    theirs = LinearUCBAgent(
        time_step.time_step_spec(tensor_spec.TensorSpec([DIM], tf.float32)),
        tensor_spec.BoundedTensorSpec((), tf.int32, 0, ACTIONS - 1),
        alpha=0.7,
        tikhonov_weight=0.5,
        dtype=tf.float64,
    )
    for start in range(0, 400, 50):
        batch = (column[start : start + 50] for column in interactions[:3])
        theirs.train(trajectories(*batch, theirs.training_data_spec.policy_info))
    ours = trained(agent, interactions)
    np.testing.assert_allclose(ours["covariances"], [a.numpy() for a in theirs.cov_matrix], rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(ours["vectors"], [b.numpy() for b in theirs.data_vector], rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(ours["counts"], [n.numpy() for n in theirs.num_samples])
    observations = noise(1, 300)[0]
    chosen = theirs.policy.action(time_step.restart(tf.constant(observations), 300)).action.numpy()
    assert (chosen == agent.solve(ours).probabilities(observations).argmax(axis=1)).mean() > 0.99


def test_linucb_solves_the_ridge_regression():
    agent, (observations, actions, rewards, *_) = LinUCB(l2=0.3), noise(0, 200)
    theta = agent.solve(trained(agent, Batch(observations, actions, rewards))).theta
    for arm in range(ACTIONS):
        x, r = observations[actions == arm].astype(float), rewards[actions == arm]
        np.testing.assert_allclose(theta[arm], np.linalg.solve(x.T @ x + 0.3 * np.eye(DIM), x.T @ r), rtol=1e-8)


def test_rewards_of_one_linucb_arm_do_not_change_the_other_arms():
    agent, statistics = LinUCB(), trained(LinUCB(), noise(0, 100))
    extreme = Batch(np.full((50, DIM), 1e6, np.float32), np.zeros(50, int), np.full(50, 1e6))
    models = [agent.solve(arrays) for arrays in (statistics, agent.update(statistics, [extreme]))]
    np.testing.assert_array_equal(*(model.theta[1:] for model in models))


def test_an_untried_action_starts_from_its_features():
    """The weights of 30 actions are linear in two features; LinUCB predicts those of five that were never taken."""
    random = np.random.default_rng(0)
    features, loadings = random.normal(size=(35, 2)), random.normal(size=(2, 4))
    theta = 1 + features @ loadings
    observations, actions = random.normal(size=(6000, 4)).astype(np.float32), random.integers(30, size=6000)
    rewards = (observations * theta[actions]).sum(axis=1) + random.normal(0, 0.1, size=6000)
    agent = LinUCB()
    statistics = agent.update(agent.initial_statistics(4, 35), [Batch(observations, actions, rewards)])
    np.testing.assert_allclose(agent.solve(statistics).theta[30:], np.tile(theta[:30].mean(axis=0), (5, 1)), atol=0.3)
    predicted = agent.solve(statistics | {ACTION_FEATURES: features}).theta
    np.testing.assert_allclose(predicted[30:], theta[30:], atol=0.4)
    np.testing.assert_array_equal(predicted[:30], agent.solve(statistics).theta[:30])


def linucb_model(arms, dim):
    random = np.random.default_rng(0)
    return LinUCBModel(random.normal(size=(arms, dim)), random.normal(size=(dim, arms, dim)), 1.0)


def upper_bounds(model, observations):
    widths = [np.linalg.norm(observations @ model.whitening[:, arm], axis=1) for arm in range(len(model.theta))]
    return observations @ model.theta.T + np.stack(widths, axis=1)


def test_linucb_scores_large_batches_with_bounded_memory():
    """All widths at once would take 192 MB."""
    model, observations = linucb_model(300, 40), np.random.default_rng(1).normal(size=(2000, 40))
    tracemalloc.start()
    probabilities = model.probabilities(observations)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
    np.testing.assert_array_equal(probabilities.argmax(axis=1), upper_bounds(model, observations).argmax(axis=1))


@pytest.mark.parametrize("candidates", [1, 10, 60])
def test_linucb_takes_the_best_eligible_arm_however_few_are(candidates):
    model, random = linucb_model(100, 8), np.random.default_rng(1)
    observations, eligible = random.normal(size=(200, 8)), np.zeros((200, 100), bool)
    some = random.choice(100, candidates, replace=False)
    eligible[:, some] = random.random((200, candidates)) < 0.5
    eligible[np.arange(200), random.choice(some, 200)] = True
    probabilities = model.probabilities(observations, eligible)
    assert probabilities.shape == (200, 100)
    expected = best_actions(upper_bounds(model, observations), eligible)
    np.testing.assert_array_equal(probabilities, np.eye(100)[expected])


def test_linucb_computes_the_widths_of_no_others_than_the_eligible_arms():
    model, eligible = linucb_model(2000, 30), np.zeros((100, 2000), bool)
    eligible[:, 7:17] = True
    observations = np.random.default_rng(1).normal(size=(100, 30))
    tracemalloc.start()
    model.probabilities(observations, eligible)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20  # of which the probabilities take 1.6 MB; the widths of all arms would take 32 MB
