"""Agents that explore over a reward model pass the conformance suite, and explore as they say."""

import numpy as np
import pytest

from banditloop.rl_core.agents import Batch, mergeable
from banditloop.rl_core.agents.arrays import WEIGHTS, write_arrays
from banditloop.rl_core.agents.bag import Bag
from banditloop.rl_core.agents.best_fixed import BestFixed
from banditloop.rl_core.agents.cover import Cover
from banditloop.rl_core.agents.epsilon_greedy import EpsilonGreedy
from banditloop.rl_core.agents.exploration import inverse_gap
from banditloop.rl_core.agents.replicates import poisson_weights
from banditloop.rl_core.agents.reward_models import Network, Ridge
from banditloop.rl_core.agents.softmax import Softmax
from banditloop.rl_core.agents.squarecb import SquareCB
from banditloop.rl_core.agents.uniform import Uniform
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.testing.agents import AgentConformance
from banditloop.rl_core.testing.merging import MergeConformance
from banditloop.rl_core.testing.planted import ACTIONS, DIM, TRUTH, linear, noise, trained
from banditloop.rl_core.training.on_policy import simulate

AGENTS = [
    EpsilonGreedy(epsilon=0.2, epsilon_half_life=1000),
    Softmax(reward_model=Ridge(cb_type="mtr")),
    SquareCB(reward_model=Ridge(cb_type="dr")),
    Bag(policies=3),
    Cover(policies=3),
    Uniform(reward_model=Ridge(l2=0.1, cb_type="ips")),
    BestFixed(),
    SquareCB(reward_model=Network(hidden_layers=1, hidden_units=32)),
]
BAD_HYPERPARAMETERS = {
    "epsilon_greedy": [{"epsilon": 1.1}, {"epsilon_half_life": 0.0}],
    "softmax": [{"temperature": 0.0}, {"decay": -0.1}],
    "squarecb": [{"gamma_scale": -1.0}, {"gamma_exponent": 2.0}],
    "bag": [{"policies": 0}],
    "cover": [{"policies": 0}, {"psi": -1.0}],
}
BASELINES = ("uniform", "best_fixed")
MERGEABLE = [agent for agent in AGENTS if mergeable(agent)]


class TestExploringAgents(AgentConformance):
    @pytest.fixture(autouse=True, params=[agent for agent in AGENTS if agent not in MERGEABLE], ids=repr)
    def every_agent(self, request):
        self.agent, self.bad_hyperparameters = request.param, BAD_HYPERPARAMETERS.get(request.param.name, ())
        self.uses_contexts = request.param.name not in BASELINES


class TestMergeableExploringAgents(AgentConformance, MergeConformance):
    @pytest.fixture(autouse=True, params=MERGEABLE, ids=repr)
    def every_agent(self, request):
        self.agent, self.bad_hyperparameters = request.param, BAD_HYPERPARAMETERS.get(request.param.name, ())
        self.uses_contexts = request.param.name not in BASELINES


def model_of(agent, batch):
    return agent.model(trained(agent, batch))


@pytest.mark.parametrize(
    "agent", [Softmax(), SquareCB(), Bag(), Cover(), SquareCB(reward_model=Network(epochs=2))], ids=repr
)
def test_the_unit_of_rewards_does_not_matter(agent):
    batch, observations = noise(0, 400), noise(1, 50).observations
    other = model_of(agent, batch._replace(rewards=1000 * batch.rewards))
    expected = model_of(agent, batch).probabilities(observations)
    np.testing.assert_allclose(other.probabilities(observations), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("agent", [*AGENTS[:5], AGENTS[7]], ids=repr)
def test_the_more_it_knows_the_less_it_explores(agent):
    """The mean probability of the best of linear actions, after 50 interactions and after 4,000."""
    observations = noise(9, 200).observations
    best = (observations @ TRUTH).argmax(axis=1)
    early, late = (model_of(agent, linear(0, rows)).probabilities(observations) for rows in (50, 4000))
    assert late[np.arange(200), best].mean() > early[np.arange(200), best].mean() + 0.05


@pytest.mark.parametrize("agent", AGENTS, ids=repr)
def test_an_agent_that_knows_nothing_chooses_uniformly(agent):
    model = agent.model(agent.initial_statistics(DIM, ACTIONS))
    np.testing.assert_allclose(model.probabilities(noise(0, 10).observations), 1 / ACTIONS)


def test_epsilon_is_halved_after_its_half_life():
    observations, batch = noise(1, 20).observations, noise(0, 300)
    for half_life, epsilon in [(None, 0.4), (300.0, 0.2), (100.0, 0.05)]:
        probabilities = model_of(EpsilonGreedy(epsilon=0.4, epsilon_half_life=half_life), batch).probabilities(
            observations
        )
        np.testing.assert_allclose(probabilities.min(axis=1), epsilon / ACTIONS)


def test_gamma_is_that_of_the_formula():
    agent, batch = SquareCB(gamma_scale=3.0), noise(0, 400)
    model, observations = model_of(agent, batch), noise(1, 50).observations
    scores, gamma = model.expected_rewards(observations), 3 * np.sqrt(400 * ACTIONS) / model.weights["error"]
    np.testing.assert_allclose(model.probabilities(observations), inverse_gap(scores, gamma))


def test_bootstrap_samples_are_poisson_numbers_that_depend_on_the_id_alone():
    ids = np.random.default_rng(0).permutation(100_000).astype(np.uint64)
    first, second = (poisson_weights(ids, number) for number in (0, 1))
    for drawn in (first, second):
        assert drawn.mean() == pytest.approx(1, abs=0.016)  # five standard errors
        assert drawn.var() == pytest.approx(1, abs=0.03)
        assert (drawn == 0).mean() == pytest.approx(np.exp(-1), abs=0.008)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.016
    np.testing.assert_array_equal(poisson_weights(ids[:100], 1), second[:100])


def test_bag_votes_as_uncertain_as_the_mean_is():
    """Two actions of equal mean reward in one context: the probability of either is about uniform over many logs."""
    agent, shares = Bag(policies=30, reward_model=Ridge(l2=1e-3)), []
    for seed in range(60):
        random = np.random.default_rng(seed)
        ids = random.integers(1 << 62, size=200, dtype=np.uint64)
        batch = Batch(np.zeros((200, 1), np.float32), random.integers(2, size=200), random.normal(size=200), ids=ids)
        model = agent.model(agent.update(agent.initial_statistics(1, 2), [batch]))
        shares.append(model.probabilities(np.zeros((1, 1), np.float32))[0, 0])
    quartiles = np.quantile(shares, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [0.25, 0.5, 0.75], atol=0.16)


def test_bag_needs_ids():
    with pytest.raises(InvalidInput, match=r"agent\.name = 'bag': the interactions have no ids"):
        trained(Bag(), noise(0, 10)._replace(ids=None))


def test_covering_policies_take_what_was_tried_little():
    """The second of two equally good actions, none of eight bad ones; without the bonus, all are the first policy."""
    random = np.random.default_rng(0)
    actions = random.integers(10, size=2000)
    rewards = (actions < 2) + 0.5 * random.normal(size=2000)
    batch = Batch(np.ones((2000, 1), np.float32), actions, rewards)
    votes = []
    for psi in (0.0, 5.0):
        agent = Cover(policies=8, psi=psi)
        model = agent.model(agent.update(agent.initial_statistics(1, 10), [batch]))
        votes.append(model.probabilities(np.ones((1, 1), np.float32))[0])
    np.testing.assert_array_equal(np.sort(votes[0])[-2:], [0, 1])
    assert votes[1][:2].min() >= 1 / 8
    assert votes[1][2:].max() == 0


def test_the_best_fixed_action_makes_up_for_where_actions_were_taken():
    """Action 0 was taken where it is good, and is the worse one on average over all contexts."""
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, size=2000)
    actions = np.where(random.random(2000) < 0.9, x < 0, x > 0).astype(int)
    rewards = np.where(actions == 0, x, 0.2)
    batch = Batch(x[:, None].astype(np.float32), actions, rewards)
    assert rewards[actions == 0].mean() > rewards[actions == 1].mean()
    model = BestFixed().model(BestFixed().update(BestFixed().initial_statistics(1, 2), [batch]))
    np.testing.assert_array_equal(model.probabilities(x[:50, None]).argmax(axis=1), 1)


def test_statistics_merge_where_the_reward_models_do():
    assert mergeable(Bag())
    assert not mergeable(Bag(reward_model=Network()))
    assert not mergeable(Cover())
    assert mergeable(SquareCB(reward_model=Ridge(cb_type="dr")))


@pytest.mark.parametrize(
    ("reward_model", "message"),
    [
        ({"name": "rigde"}, "agent.reward_model.*'rigde': is not one of: network, ridge.*did you mean 'ridge'"),
        ({"name": "ridge", "cb_type": "sm"}, "agent.reward_model.*cb_type = 'sm'.*'dm', 'mtr', 'ips' or 'dr'"),
        ({"name": "network", "cb_type": "dr"}, "agent.reward_model.*cb_type = 'dr': Input should be 'dm' or 'mtr'"),
        ({"l2": 1.0}, "agent.reward_model.*name"),
    ],
)
def test_a_wrong_reward_model_is_refused_in_one_line(reward_model, message):
    with pytest.raises(InvalidInput, match=message) as error:
        Config.parse({"task": {"actions": 2}, "agent": {"name": "softmax", "reward_model": reward_model}})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("agent", AGENTS, ids=repr)
def test_weights_that_do_not_belong_together_are_refused(agent, tmp_path):
    weights = agent.weights(trained(agent, noise(0, 50)))
    for wrong in ({"error": weights["error"]}, {name: array.ravel() for name, array in weights.items()}):
        write_arrays(tmp_path / WEIGHTS, wrong)
        with pytest.raises(InvalidInput, match="missing or differ in shape; not the weights of"):
            agent.load(tmp_path)


@pytest.mark.parametrize("agent", ["bag", "cover"])
def test_agents_learn_on_policy(agent):
    settings = {"training_loops": 20, "batch_size": 20}
    environment = {"name": "movielens", "available": 5}
    values = {"environment": environment, "agent": {"name": agent, "reward_model": {"name": "ridge", "cb_type": "dr"}}}
    curve = simulate(Config.parse(values | {"on_policy": settings}))
    uniform = simulate(Config.parse(values | {"agent": {"name": "uniform"}, "on_policy": settings}))
    assert curve.average_return > 1.2 * uniform.average_return
