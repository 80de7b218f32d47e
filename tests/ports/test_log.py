"""Contract of reward attribution on every backend: windows, deferred and sampled decisions, counts."""

from banditloop.rl_core.testing.backends import AttributionContract
from tests.ports.conftest import EveryBackend


class TestAttribution(EveryBackend, AttributionContract):
    pass
