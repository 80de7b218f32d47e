"""Contract of the bus on every backend: at-least-once delivery, dead letters, leases."""

from banditloop.rl_core.testing.backends import BusContract
from tests.ports.conftest import EveryBackend


class TestBus(EveryBackend, BusContract):
    pass
