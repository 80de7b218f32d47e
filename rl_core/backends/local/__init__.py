"""The local backend: all ports on one machine, in files under one root folder."""

import functools
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import TRACES, Endpoint, Platform, Runner, Scalars, Warehouse
from banditloop.rl_core.settings.backend import LocalBackend

if TYPE_CHECKING:
    from banditloop.rl_core.backends.local.bus import LocalBus

FORBIDDEN_CHARACTERS = "[]{}*?%\\"  # deltalake parses them as part of a URL, DuckDB as a glob pattern


class LocalPlatform(Platform):
    """The ports on one machine, and the folder of TensorBoard's logs. Folders and files are created on first use."""

    def __init__(self, config: Config, root: Path, endpoint: str) -> None:
        super().__init__(root / "scratch")
        self._config, self._root, self._endpoint = config, root, endpoint

    @cached_property
    def warehouse(self) -> Warehouse:
        from banditloop.rl_core.backends.local.waiting import waiting_since
        from banditloop.rl_core.backends.local.warehouse import LocalWarehouse

        config = self._config
        waiting = functools.partial(waiting_since, self.bus, self.scratch / "outbox" / "rewards", "rewards")
        return LocalWarehouse(
            self._root / "warehouse", config.task, config.reward, config.episodes, config.gate.holdout_fraction, waiting
        )

    @cached_property
    def bus(self) -> "LocalBus":
        from banditloop.rl_core.backends.local.bus import LocalBus

        return LocalBus(self._root / "bus", self._config.bus.lease_seconds)

    @cached_property
    def endpoint(self) -> Endpoint:
        from banditloop.rl_core.backends.local.endpoint import LocalEndpoint

        return LocalEndpoint(self._root / "endpoints" / self._endpoint)

    @cached_property
    def runner(self) -> Runner:
        from banditloop.rl_core.backends.local.runner import LocalRunner

        return LocalRunner(self._root / "runs")

    def show_scalars(self, name: str, scalars: Mapping[str, Scalars], logs: Path | None = None) -> str:
        """As the port says; the page is the folder for `tensorboard --logdir`."""
        from banditloop.rl_core.backends.local.tensorboard import write_scalars

        folder = self._root / "tensorboard"
        write_scalars(folder / name, scalars)
        if logs and (traces := logs / TRACES).is_dir():
            shutil.copytree(traces, folder / name / TRACES, dirs_exist_ok=True)
        return str(folder)


def connect(config: Config) -> Platform:
    """The local platform. InvalidInput: its root cannot hold a warehouse."""
    backend = config.backend
    assert isinstance(backend, LocalBackend)
    root = Path(backend.root).absolute()
    if forbidden := set(str(root)) & set(FORBIDDEN_CHARACTERS):
        raise InvalidInput(
            f"backend.root = {str(root)!r}: a path with {' '.join(sorted(forbidden))} cannot hold the warehouse"
        )
    return LocalPlatform(config, root, backend.endpoint)
