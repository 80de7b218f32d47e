"""Episodes on the workers of a Ray cluster: one at an address, or one started on this machine."""

import contextlib
import importlib
import itertools
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.rollouts import RolloutsSection

Result = TypeVar("Result")
PARTS_PER_WORKER = 4  # so that no worker waits long for the one with the longest episodes
CONNECT_SECONDS = 10.0
RETRIES = 10  # of a part whose worker died
VARIABLES = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}  # of clusters on this machine, unless set
QUIET = {"log_to_driver": False, "configure_logging": False}
HERE = {
    "include_dashboard": False,
    "_node_ip_address": "127.0.0.1",
}  # no page, and no other address than this machine's


class RayEngine:
    """See rollouts.Engine. Ray replaces workers that die, and plays their parts again."""

    def __init__(self, ray: Any, workers: int) -> None:
        self._ray, self._workers = ray, workers
        self._task = ray.remote(_play).options(max_retries=RETRIES, num_cpus=1)

    def play(self, part: Callable[[slice], Result], episodes: int) -> list[Result]:
        """See Engine: several slices per worker.

        Raises:
            Exception: what `part` raised on a worker.
        """
        shared = self._ray.put(part)  # once per machine
        parts = max(1, min(episodes, PARTS_PER_WORKER * self._workers))
        bounds = np.linspace(0, episodes, parts + 1).astype(int).tolist()
        tasks = [self._task.remote(shared, start, stop) for start, stop in itertools.pairwise(bounds)]
        try:
            return list(self._ray.get(tasks))
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None  # without the worker's stack, which Ray prepends


def _play(part: Callable[[slice], Result], start: int, stop: int) -> Result:
    return part(slice(start, stop))


@contextlib.contextmanager
def ray_engine(section: RolloutsSection, folder: Path | None) -> Iterator[RayEngine]:
    """The workers of the cluster at the section's address, or of one that is started here. See `rollouts.engine`.

    A process that is connected to Ray already, as the driver of a Ray job, stays with its cluster.
    """
    if section.address:
        _check_listens(section.address)
    else:
        for variable, value in {**VARIABLES, "RAY_AUTH_TOKEN": _token()}.items():
            os.environ.setdefault(variable, value)
    ray = _imported()  # reads these variables
    with contextlib.ExitStack() as stack:
        if not ray.is_initialized():
            stack.enter_context(_connected(ray, section, folder))
        yield RayEngine(ray, section.workers or int(ray.cluster_resources().get("CPU", 1)))


@contextlib.contextmanager
def _connected(ray: Any, section: RolloutsSection, folder: Path | None) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if section.address:
            try:
                ray.init(section.address, **QUIET)
            except (OSError, RuntimeError, ValueError) as error:
                raise _no_answer(section.address, error) from None
        else:
            temporary = stack.enter_context(_short(folder))
            ray.init("local", num_cpus=section.workers or None, _temp_dir=str(temporary), **HERE, **QUIET)
        stack.callback(ray.shutdown)
        yield


def _check_listens(address: str) -> None:
    """Raise InvalidInput if nobody listens at an address, to which Ray would try to connect for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, error) from None


def _no_answer(address: str, error: Exception) -> InvalidInput:
    reason = str(error).strip().partition("\n")[0]
    return InvalidInput(f"rollouts.address = {address!r}: no Ray cluster answers: {reason}")


def _imported() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise InvalidInput("rollouts.engine = 'ray': Ray is not installed; pip install 'banditloop[ray]'") from None


@cache
def _token() -> str:
    """The token by which the processes of clusters on this machine authenticate each other.

    It is passed in an environment variable: otherwise Ray would write one to ~/.ray.
    """
    return secrets.token_hex(32)


@contextlib.contextmanager
def _short(folder: Path | None) -> Iterator[Path]:
    """A new folder for Ray's files in this one, by a short path: a socket's path in it has at most 107 bytes."""
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="ray-", dir=folder, ignore_cleanup_errors=True) as own,
        tempfile.TemporaryDirectory() as short,
    ):
        (link := Path(short) / "ray").symlink_to(Path(own).resolve())
        yield link
