"""TF-Agents' agents by the adapter: the conformance suite; their probabilities are those of TF-Agents' policies."""

import numpy as np
import pytest

from banditloop.rl_core.agents.tf_agents import TFAgents
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.testing.agents import AgentConformance
from banditloop.rl_core.testing.planted import ACTIONS, DIM, noise, saved_and_loaded, trained

pytest.importorskip("banditloop.rl_core.tf", exc_type=ImportError)
pytest.importorskip("tf_agents.trajectories.trajectory")

from tf_agents.trajectories import time_step

from banditloop.rl_core.agents.tf_agents_factory import restore, tf
from banditloop.rl_core.agents.tf_agents_training import trainer

NETWORK = {"layers": [64], "learning_rate": 0.01}
WIDE = {
    "layers": [200],
    "learning_rate": 0.01,
    "encoding_dim": 200,
    "encoding_network_num_train_steps": 0,
    "alpha": 0.1,
}
BAD = [{"algorithm": "linucb"}, {"batch_size": 0}, {"epochs": 0}, {"hyperparameters": {"depth": 3}}, {"seed": -1}]


@pytest.mark.slow
class TestTFAgents(AgentConformance):
    """Of each kind: linear, a network (others differ in the probabilities only, which are tested below), and both."""

    bad_hyperparameters = BAD

    @pytest.fixture(
        autouse=True,
        params=[
            TFAgents(algorithm="lin_ts", hyperparameters={"add_bias": True, "alpha": 0.1}, batch_size=4096),
            TFAgents(algorithm="dropout_thompson", hyperparameters=NETWORK, epochs=15, batch_size=256),
            TFAgents(algorithm="neural_linucb", hyperparameters=WIDE, batch_size=64),
        ],
        ids=lambda agent: agent.algorithm,
    )
    def every_agent(self, request):
        self.agent = request.param

    def test_sample_weights_count(self):
        if self.agent.algorithm != "neural_linucb":
            return super().test_sample_weights_count()
        with pytest.raises(InvalidInput, match="neural_linucb': has no sample weights"):
            trained(self.agent, noise(0, 50)._replace(sample_weight=np.arange(1.0, 51)))
        return None


def both(algorithm, rows, **hyperparameters):
    """Our probabilities of one observation [actions], TF-Agents' policy, and that observation in so many rows."""
    agent = TFAgents(algorithm=algorithm, hyperparameters=hyperparameters, batch_size=50)
    batch = noise(0, 200)
    statistics = trained(agent, batch._replace(rewards=batch.rewards + batch.actions))
    its = trainer(agent, DIM, ACTIONS).agent
    restore(its, statistics)
    observation = noise(3, 1).observations
    step = time_step.restart(tf.constant(observation.repeat(rows, axis=0)), rows)
    return saved_and_loaded(agent, statistics).probabilities(observation)[0], its.collect_policy, step


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "hyperparameters"),
    [("neural_boltzmann", {"temperature": 0.3}), ("neural_falcon", {"exploitation_coefficient": 20.0})],
)
def test_probabilities_that_tf_agents_logs_rightly_are_the_same(algorithm, hyperparameters):
    ours, policy, step = both(algorithm, 1, **hyperparameters)
    theirs = policy.distribution(step).action
    np.testing.assert_allclose(ours, np.exp([theirs.log_prob(k).numpy()[0] for k in range(ACTIONS)]), rtol=1e-3)
    assert ours.max() < 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "hyperparameters", "error"),
    [
        ("lin_ucb", {"add_bias": True}, 0.001),
        ("neural_epsilon_greedy", {"epsilon": 0.2}, 0.03),
        ("neural_linucb", {"encoding_network_num_train_steps": 100, "epsilon_greedy": 0.3}, 0.03),
        ("neural_linucb", {"encoding_network_num_train_steps": 0}, 0.001),
        ("lin_ts", {}, 0.12),
        ("dropout_thompson", {"dropout_rate": 0.5}, 0.12),
    ],
)
def test_tf_agents_draws_with_our_probabilities_where_it_logs_none_or_wrong_ones(algorithm, hyperparameters, error):
    """Of 4,000 draws; error: three standard errors of those draws, and of ours, which are 200, where there are any."""
    ours, policy, step = both(algorithm, 4000, **hyperparameters)
    shares = np.bincount(policy.action(step).action.numpy(), minlength=ACTIONS) / 4000
    np.testing.assert_allclose(ours, shares, atol=error)


def test_exp3_decides_by_its_weights_and_learns_on_policy_only():
    agent, observations = TFAgents(algorithm="exp3"), noise(1, 2).observations
    statistics = agent.initial_statistics(DIM, ACTIONS)
    [weights] = [name for name, array in statistics.items() if "variable" in name and array.shape == (ACTIONS,)]
    statistics |= {weights: np.arange(ACTIONS, dtype=np.float32)}
    its = trainer(agent, DIM, ACTIONS).agent
    restore(its, statistics)
    theirs = its.policy.distribution(time_step.restart(tf.constant(observations), 2)).action
    expected = np.exp([theirs.log_prob(k).numpy() for k in range(ACTIONS)]).T
    np.testing.assert_allclose(saved_and_loaded(agent, statistics).probabilities(observations), expected, rtol=1e-5)
    with pytest.raises(InvalidInput, match="exp3': learns from its own actions only"):
        agent.update(statistics, [noise(0, 10)])


def test_algorithms_that_count_interactions_pass_over_them_once():
    with pytest.raises(InvalidInput, match="epochs = 2: lin_ucb counts interactions; give 1"):
        TFAgents.parse({"algorithm": "lin_ucb", "epochs": 2}, "agent")
    assert TFAgents.parse({"algorithm": "neural_falcon", "epochs": 2}, "agent").epochs == 2
