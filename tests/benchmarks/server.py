"""A server that is measured. The client has a core of its own, as if it were elsewhere, and other servers rest."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rl_core.backends import PREDICT_ROUTE, connect
from rl_core.config import Config
from tests.benchmarks.load import CORES, Measure, measure
from tests.processes import free_port, listening, process, wait_until


class Server(NamedTuple):
    """Where it answers, and its process."""

    url: str
    pid: int

    def measured(self, **load: Any) -> Measure:
        """Put load on it."""
        _signal(self.pid, signal.SIGCONT)
        try:
            return measure(self.url, **load)
        finally:
            _signal(self.pid, signal.SIGSTOP)


@contextlib.contextmanager
def predictor(config: Config, module: str = "functions.predictor") -> Iterator[Server]:
    """The predictor, which rests when it is not measured."""
    endpoint = connect(config).endpoint
    with _server(config, module) as pid:
        wait_until(endpoint.serving)
        yield Server(endpoint.url() + PREDICT_ROUTE, pid)


@contextlib.contextmanager
def compared(config: Config, name: str, *arguments: str) -> Iterator[Server]:
    """A server of tests.benchmarks that the predictor is compared to."""
    port = free_port()
    with _server(config, f"tests.benchmarks.{name}", str(port), *arguments) as pid:
        wait_until(lambda: listening(port))
        yield Server(f"http://127.0.0.1:{port}{PREDICT_ROUTE}", pid)


@contextlib.contextmanager
def _server(config: Config, module: str, *arguments: str) -> Iterator[int]:
    with process(config, "-m", module, *arguments) as running:
        os.sched_setaffinity(running.pid, CORES[:-1] or CORES)
        try:
            yield running.pid
        finally:
            _signal(running.pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    """Send a signal to a process and its children."""
    for one in pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        os.kill(one, number)
