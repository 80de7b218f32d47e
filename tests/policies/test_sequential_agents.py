"""Every sequential agent that learns from logged episodes passes the conformance suite."""

import numpy as np
import pytest

from banditloop.rl_core.agents.behaviour_cloning import BehaviourCloning
from banditloop.rl_core.agents.dqn import DQN
from banditloop.rl_core.agents.fitted_q import FittedQ
from banditloop.rl_core.testing.planted import noise_episodes, trained
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
