"""Agents that explore over a reward model pass the conformance suite."""

import pytest

from banditloop.rl_core.agents import Bag, BestFixed, Cover, EpsilonGreedy, Softmax, SquareCB, Uniform, mergeable
from banditloop.rl_core.agents.reward_models import Network, Ridge
from banditloop.rl_core.testing.agents import AgentConformance
from banditloop.rl_core.testing.merging import MergeConformance

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
MERGEABLE = [agent for agent in AGENTS if mergeable(agent)]


class TestExploringAgents(AgentConformance):
    @pytest.fixture(autouse=True, params=[agent for agent in AGENTS if agent not in MERGEABLE], ids=repr)
    def every_agent(self, request):
        self.agent, self.bad_hyperparameters = request.param, BAD_HYPERPARAMETERS.get(request.param.name, ())


class TestMergeableExploringAgents(AgentConformance, MergeConformance):
    @pytest.fixture(autouse=True, params=MERGEABLE, ids=repr)
    def every_agent(self, request):
        self.agent, self.bad_hyperparameters = request.param, BAD_HYPERPARAMETERS.get(request.param.name, ())
