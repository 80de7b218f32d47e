"""The contract suite of backends: the promises of the ports Warehouse, Bus and Endpoint in banditloop.rl_core.ports."""

from banditloop.rl_core.testing.backends.accounting import AccountingContract
from banditloop.rl_core.testing.backends.attribution import AttributionContract
from banditloop.rl_core.testing.backends.bus import BusContract
from banditloop.rl_core.testing.backends.endpoint import EndpointContract
from banditloop.rl_core.testing.backends.episodes import EpisodeContract
from banditloop.rl_core.testing.backends.features import FeatureContract
from banditloop.rl_core.testing.backends.transitions import TransitionContract
from banditloop.rl_core.testing.backends.warehouse import WarehouseContract

__all__ = [
    "AccountingContract",
    "AttributionContract",
    "BackendContract",
    "BusContract",
    "EndpointContract",
    "EpisodeContract",
    "FeatureContract",
    "TransitionContract",
    "WarehouseContract",
]


class BackendContract(
    WarehouseContract,
    FeatureContract,
    AttributionContract,
    AccountingContract,
    EpisodeContract,
    TransitionContract,
    BusContract,
    EndpointContract,
):
    """Checks that every backend must pass. A test file of yours subclasses it and says how to configure the backend:

        class TestMine(BackendContract):
            @pytest.fixture
            def configure(self, tmp_path):
                def make(**sections):
                    backend = {"name": "my_package.backends:MyBackend", "root": str(tmp_path)}
                    sections["bus"] = {"lease_seconds": 0.2} | sections.get("bus", {})
                    agent, environment = {"name": "linucb"}, {"name": "movielens"}
                    return Config.parse({"backend": backend, "agent": agent, "environment": environment, **sections})

                return make

    Configs of one test share their tables, topics and endpoint; those of different tests share nothing. Leases should
    be short, as above. Everything else that differs between platforms is a fixture or method to override: `pace`,
    `compacting`, `server`, `has_vitals` and `has_resources`. To check one port alone, subclass its suite.
    """
