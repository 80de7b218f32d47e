"""Every sequential agent that learns from logged episodes passes the conformance suite."""

import pytest

from banditloop.rl_core.agents import DQN, BehaviourCloning, FittedQ
from banditloop.rl_core.testing.sequential_agents import SequentialAgentConformance

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
