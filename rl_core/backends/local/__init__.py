"""The local backend: all ports on one machine, in files under one root folder."""

import functools
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from banditloop.rl_core.backends.local.bus import LocalBus
from banditloop.rl_core.backends.local.endpoint import LocalEndpoint
from banditloop.rl_core.backends.local.runner import LocalRunner
from banditloop.rl_core.backends.local.waiting import waiting_since
from banditloop.rl_core.backends.local.warehouse import LocalWarehouse
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import TRACES, Platform, Scalars
from banditloop.rl_core.settings.backend import LocalBackend

FORBIDDEN_CHARACTERS = "[]{}*?%\\"  # deltalake parses them as part of a URL, DuckDB as a glob pattern


@dataclass(frozen=True, kw_only=True)
class LocalPlatform(Platform):
    """The ports on one machine, and the folder of TensorBoard's logs."""

    tensorboard: Path

    def show_scalars(self, name: str, scalars: Mapping[str, Scalars], logs: Path | None = None) -> str:
        """As the port says; the page is the folder for `tensorboard --logdir`."""
        from banditloop.rl_core.backends.local.tensorboard import write_scalars

        write_scalars(self.tensorboard / name, scalars)
        if logs and (traces := logs / TRACES).is_dir():
            shutil.copytree(traces, self.tensorboard / name / TRACES, dirs_exist_ok=True)
        return str(self.tensorboard)


def connect(config: Config) -> Platform:
    """The local platform. Folders and files are created on first use."""
    backend = config.backend
    assert isinstance(backend, LocalBackend)
    root = Path(backend.root).absolute()
    if forbidden := set(str(root)) & set(FORBIDDEN_CHARACTERS):
        raise InvalidInput(
            f"backend.root = {str(root)!r}: a path with {' '.join(sorted(forbidden))} cannot hold the warehouse"
        )
    bus = LocalBus(root / "bus", config.bus.lease_seconds)
    waiting = functools.partial(waiting_since, bus, root / "scratch" / "outbox" / "rewards", "rewards")
    return LocalPlatform(
        LocalWarehouse(
            root / "warehouse", config.task, config.reward, config.episodes, config.gate.holdout_fraction, waiting
        ),
        bus,
        LocalEndpoint(root / "endpoints" / backend.endpoint),
        LocalRunner(root / "runs"),
        root / "scratch",
        tensorboard=root / "tensorboard",
    )
