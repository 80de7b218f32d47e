"""Every built-in environment of episodes passes the conformance suite and is the problem that it says it is."""

import pytest

from banditloop.rl_core.environments.cartpole import CartPole
from banditloop.rl_core.testing.episodic_environments import EpisodicEnvironmentConformance

TESTED = {"cartpole": CartPole(max_steps=30)}


class TestBuiltInEpisodes(EpisodicEnvironmentConformance):
    @pytest.fixture(autouse=True, params=TESTED.values(), ids=TESTED)
    def every_environment(self, request):
        self.environment = request.param
