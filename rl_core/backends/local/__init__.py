"""The embedded backend: everything a loop needs on one machine, in files under one root."""

from pathlib import Path

from rl_core.backends import Platform
from rl_core.backends.local.bus import LocalBus
from rl_core.backends.local.endpoint import LocalEndpoint
from rl_core.backends.local.runner import LocalRunner
from rl_core.backends.local.warehouse import LocalWarehouse
from rl_core.config import LocalBackend, RewardSection


def connect_local(backend: LocalBackend, reward: RewardSection) -> Platform:
    """The local ports. Nothing is opened or created before it is used."""
    root = Path(backend.root).absolute()
    return Platform(
        LocalWarehouse(root / "warehouse", reward),
        LocalBus(root / "bus"),
        LocalEndpoint(root / "endpoints" / backend.endpoint),
        LocalRunner(root / "runs"),
    )
