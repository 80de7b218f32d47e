"""Every sequential agent that learns from logged episodes passes the conformance suite."""

import itertools

import numpy as np
import pytest

from banditloop.rl_core.agents.behaviour_cloning import BehaviourCloning
from banditloop.rl_core.agents.dqn import DQN
from banditloop.rl_core.agents.fitted_q import FittedQ
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.testing.planted import ACTIONS, DIM, noise, noise_episodes, trained
from banditloop.rl_core.testing.policies import make_policy
from banditloop.rl_core.testing.sequential_agents import SequentialAgentConformance
from tests.support import grid_world

TESTED_AGENTS = [
    DQN(hidden_layers=1, hidden_units=32, batch_size=128, gradient_steps=300, learning_rate=0.02),
    DQN(hidden_layers=1, hidden_units=16, gradient_steps=500, learning_rate=0.02, batch_size=128, temperature=0.35),
    FittedQ(features=40, iterations=30),
    BehaviourCloning(gradient_steps=200),
]
BAD_HYPERPARAMETERS = {
    "dqn": [
        {"hidden_layers": 0},
        {"hidden_units": 0},
        {"learning_rate": 2.0},
        {"tau": 0.0},
        {"temperature": -1.0},
        {"gradient_steps": 0},
        {"batch_size": 0},
    ],
    "fitted_q": [{"features": -1}, {"width": 0.0}, {"l2": 0.0}, {"iterations": 0}],
    "behaviour_cloning": [{"gradient_steps": 0}, {"learning_rate": 0.0}],
}


class TestSequentialAgents(SequentialAgentConformance):
    @pytest.fixture(autouse=True, params=TESTED_AGENTS, ids=repr)
    def every_agent(self, request):
        self.agent, self.bad_hyperparameters = request.param, BAD_HYPERPARAMETERS[request.param.name]
        self.learns_values = request.param.name != "behaviour_cloning"

    def test_greedy_candidates_are_the_models_greedy_actions(self, tmp_path):
        make_policy(tmp_path, dim=DIM, actions=ACTIONS, agent=self.agent)
        policy, observations = SavedPolicy.load(tmp_path), noise(1, 500).observations
        ids, eligible = policy.encoding.action_ids, np.random.default_rng(2).random((500, ACTIONS)) < 0.5
        eligible[:, 1] = True
        best = policy.model.probabilities(observations).argmax(axis=1)
        for candidates in (None, Candidates(ids), Candidates(ids[::-1])):
            greedy = policy.greedy_probabilities(observations, candidates)
            chosen = greedy.argmax(axis=1) if candidates is None else positions(candidates, greedy)
            np.testing.assert_array_equal(chosen, best)
        chosen = positions(Candidates(ids), policy.greedy_probabilities(observations, Candidates(ids, eligible)))
        np.testing.assert_array_equal(chosen, policy.model.probabilities(observations, eligible).argmax(axis=1))


def positions(candidates, greedy):
    """The numbers of the chosen candidates, which are also their ids."""
    return np.array(candidates.ids, int)[greedy.argmax(axis=1)]


@pytest.mark.parametrize("agent", [DQN(), FittedQ(features=0, l2=0.01, iterations=200)], ids=lambda agent: agent.name)
def test_the_best_policy_of_reagents_world_is_learned_from_random_episodes(agent):
    log = grid_world.episodes(grid_world.UNIFORM, 100, np.random.default_rng(0))
    model = agent.model(agent.update(agent.initial_statistics(grid_world.STATES, grid_world.ACTIONS), [log]))
    states, best = np.eye(grid_world.STATES), grid_world.epsilon_greedy(0.0)
    assert grid_world.value(model.probabilities(states)) == pytest.approx(grid_world.value(best))
    if agent.name == "fitted_q":
        visited = np.unique(log.observations.argmax(axis=1))
        values = grid_world.action_values(best)[visited]
        np.testing.assert_allclose(model.expected_rewards(states)[visited], values, atol=2e-3)


def test_dqn_draws_in_proportion_to_the_exponentials_of_its_values():
    agent = DQN(hidden_layers=1, hidden_units=8, gradient_steps=50, temperature=0.5)
    model = agent.model(trained(agent, noise_episodes(0, 200)))
    observations = noise_episodes(1, 50).observations
    odds, values = np.log(model.probabilities(observations)), model.expected_rewards(observations)
    np.testing.assert_allclose(odds - odds[:, :1], (values - values[:, :1]) / 0.5, rtol=1e-4, atol=1e-4)


def test_a_clone_takes_each_action_as_often_as_the_log():
    """The last action is in no row; the one before it is the last step of episodes that were cut off, half of all."""
    logged = noise_episodes(0, 4000)
    logged = logged._replace(actions=np.where(logged.is_known, logged.actions % 2, ACTIONS - 2))
    frequencies = np.bincount(logged.actions, minlength=ACTIONS) / len(logged.actions)
    model = BehaviourCloning().model(trained(BehaviourCloning(), logged))
    shares = model.probabilities(noise(1, 2000).observations).mean(axis=0)
    np.testing.assert_allclose(shares, frequencies, atol=0.02)


def test_a_clone_of_many_actions_has_the_value_of_the_observation():
    """Rewards of 1 and a discount of 0.5, without an end: 2; where episodes end at once: the reward expected."""
    logged, actions = noise_episodes(0, 4000, DIM, 700), 700
    agent, linear = BehaviourCloning(features=0, gradient_steps=3, l2=0.01), np.arange(DIM)
    everything = {"is_known": np.ones(4000, bool), "rewards": np.ones(4000), "discounts": np.full(4000, 0.5)}
    at_once = everything | {"rewards": logged.observations @ linear, "discounts": np.zeros(4000)}
    observations = noise(1, 100).observations
    for columns, expected in ((everything, np.full(100, 2.0)), (at_once, observations @ linear)):
        model = agent.model(agent.update(agent.initial_statistics(DIM, actions), [logged._replace(**columns)]))
        values = model.expected_rewards(observations)
        np.testing.assert_allclose(values, np.tile(expected[:, None], actions), atol=1e-3)
        np.testing.assert_allclose(model.probabilities(observations).sum(axis=1), 1)


@pytest.mark.parametrize("listed", list(itertools.product([False, True], repeat=2)))
def test_dqn_goes_on_learning_after_actions_have_joined(listed):
    """Whether or not the loops before and after list what is eligible: actions that joined were not before."""
    agent = DQN(hidden_layers=1, hidden_units=8, batch_size=16)
    statistics, count = agent.initial_statistics(DIM, ACTIONS), ACTIONS
    for loop, lists in enumerate(listed):
        played = noise_episodes(loop, 100, DIM, count)._replace(is_known=np.ones(100, bool))
        mask = np.ones((100, count), bool) if lists else None
        statistics = agent.learn(statistics, played._replace(eligible=mask, next_eligible=mask)).statistics
        before, count = agent.model(statistics), count + 2
        statistics = agent.with_actions(statistics, count)
        model, observations = agent.model(statistics), noise(9, 50).observations
        np.testing.assert_allclose(
            model.expected_rewards(observations)[:, : count - 2], before.expected_rewards(observations), atol=1e-5
        )
    assert statistics["counts"].sum() == 200
    if any(listed):
        eligible = statistics["replay_next_eligible"]
        assert eligible.shape == (200, count)
        assert not (listed[0] and eligible[:100, ACTIONS:].any())
