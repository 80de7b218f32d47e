"""The embedded backend: everything a loop needs on one machine, in files under one root."""

from pathlib import Path

from rl_core.backend import LocalBackend
from rl_core.backends import Platform
from rl_core.backends.local.bus import LocalBus
from rl_core.backends.local.endpoint import LocalEndpoint
from rl_core.backends.local.runner import LocalRunner
from rl_core.backends.local.warehouse import LocalWarehouse
from rl_core.config import Config
from rl_core.errors import InvalidInput

UNFIT = "[]{}*?%\\"  # deltalake takes them for parts of an address, DuckDB for patterns


def connect_local(config: Config) -> Platform:
    """The local ports. Nothing is opened or created before it is used."""
    backend = config.backend
    assert isinstance(backend, LocalBackend)
    root = Path(backend.root).absolute()
    if unfit := set(str(root)) & set(UNFIT):
        raise InvalidInput(
            f"backend.root = {str(root)!r}: a path with {' '.join(sorted(unfit))} cannot hold the warehouse"
        )
    return Platform(
        LocalWarehouse(root / "warehouse", config.reward, config.gate.held_out),
        LocalBus(root / "bus", backend.lease_seconds),
        LocalEndpoint(root / "endpoints" / backend.endpoint),
        LocalRunner(root / "runs"),
        root / "scratch",
    )
