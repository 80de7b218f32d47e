"""Two workers of the predictor beside one, each with the client on the same two cores.

With 64 connections, since a request costs what its share of a micro-batch does: two workers have batches half as large.
"""

import contextlib
import tempfile
from pathlib import Path
from typing import NamedTuple

from banditloop.rl_core.backends import connect
from tests.benchmarks.load import CORES
from tests.benchmarks.ratio import Row, at_least, at_most
from tests.benchmarks.server import Server, predictor
from tests.conftest import deploy, make_config, make_policy

REPEATS, SECONDS, WARM_SECONDS, CONNECTIONS = 21, 1.0, 1.0, 64  # many: a machine's noise is as large as the limit
TWO_CORES = CORES[-2:]


class Run(NamedTuple):
    """Responses per second, and processor seconds for each of them, the publisher's included."""

    rate: float
    cpu: float


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        make_policy(folder / "policy")
        servers = [stack.enter_context(_predictor(folder, workers)) for workers in (1, 2)]
        for server in servers:
            _run(server, WARM_SECONDS)
        runs = [[_run(server, SECONDS) for server in servers] for _ in range(REPEATS)]
    return [
        at_least("workers: two, client on the same cores", [two.rate / one.rate for one, two in runs], "x one", 1.1),
        at_most("workers: CPU a request of two", [two.cpu / one.cpu for one, two in runs], "x one", 1.1),
    ]


def _predictor(folder: Path, workers: int) -> contextlib.AbstractContextManager[Server]:
    config = make_config(folder / str(workers), serving={"workers": workers})
    deploy(connect(config).endpoint, folder / "policy")
    return predictor(config, cores=TWO_CORES)


def _run(server: Server, seconds: float) -> Run:
    before = server.cpu_seconds()
    measured = server.measure(seconds=seconds, connections=CONNECTIONS, cores=TWO_CORES)
    return Run(measured.rate, (server.cpu_seconds() - before) / (measured.rate * seconds))
