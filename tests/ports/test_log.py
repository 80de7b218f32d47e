"""Contract of the log on every backend: features, reward attribution, deferred and sampled decisions, counts."""

from banditloop.rl_core.testing.backends import AccountingContract, AttributionContract, FeatureContract
from tests.ports.conftest import EveryBackend


class TestFeatures(EveryBackend, FeatureContract):
    pass


class TestAttribution(EveryBackend, AttributionContract):
    pass


class TestAccounting(EveryBackend, AccountingContract):
    pass
