"""Every sequential agent passes the conformance suite."""

import pytest

from banditloop.rl_core.agents import DQN
from banditloop.rl_core.testing.sequential_agents import SequentialAgentConformance

TESTED_AGENTS = [DQN(hidden_units=[32], batch_size=128, gradient_steps=300)]


class TestSequentialAgents(SequentialAgentConformance):
    @pytest.fixture(autouse=True, params=TESTED_AGENTS, ids=repr)
    def every_agent(self, request):
        self.agent = request.param
