"""Servers under measurement. The load generator has its own core, as if remote; servers not measured are stopped."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import PREDICT_ROUTE
from tests.benchmarks.load import CORES, Measure, measure
from tests.support.processes import free_port, listening, process, wait_until

SERVER_CORES = CORES[:-1] or CORES


class Server(NamedTuple):
    """URL of the predict route and process id."""

    url: str
    pid: int

    def measure(self, **load: Any) -> Measure:
        """Put load on the server."""
        _signal(self.pid, signal.SIGCONT)
        try:
            return measure(self.url, **load)
        finally:
            _signal(self.pid, signal.SIGSTOP)

    def cpu_seconds(self) -> float:
        """Processor time that the server and its children have taken."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in _with_children(self.pid)]
        return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def predictor(
    config: Config, module: str = "banditloop.functions.predictor", cores: list[int] = SERVER_CORES
) -> Iterator[Server]:
    """Run the predictor on these cores; it is stopped (SIGSTOP) while it is not measured."""
    endpoint = connect(config).endpoint
    with _server(config, module, cores=cores) as pid:
        wait_until(endpoint.serving_versions)
        yield Server(endpoint.url() + PREDICT_ROUTE, pid)


@contextlib.contextmanager
def comparison_server(config: Config, name: str, *arguments: str) -> Iterator[Server]:
    """Run a server of tests.benchmarks that the predictor is compared with."""
    port = free_port()
    with _server(config, f"tests.benchmarks.{name}", str(port), *arguments) as pid:
        wait_until(lambda: listening(port))
        yield Server(f"http://127.0.0.1:{port}{PREDICT_ROUTE}", pid)


@contextlib.contextmanager
def _server(config: Config, module: str, *arguments: str, cores: list[int] = SERVER_CORES) -> Iterator[int]:
    with process(config, "-m", module, *arguments) as child:
        os.sched_setaffinity(child.pid, cores)
        try:
            yield child.pid
        finally:
            _signal(child.pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    """Send a signal to a process and its children."""
    for process_id in _with_children(pid):
        os.kill(process_id, number)


def _with_children(pid: int) -> list[int]:
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
