"""Contract of the timeline on every backend: episodes in order, and what came next."""

from banditloop.rl_core.testing.backends import EpisodeContract, TransitionContract
from tests.ports.conftest import EveryBackend


class TestEpisodes(EveryBackend, EpisodeContract):
    pass


class TestTransitions(EveryBackend, TransitionContract):
    pass
