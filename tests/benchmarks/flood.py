"""Other requests' latency and the predictor's memory while one core floods it with each of tests/support/floods.py.

python -m tests.benchmarks.flood URL NAME sends one flood until it is killed.
"""

import contextlib
import itertools
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from banditloop.rl_core.backends import connect
from tests.benchmarks.load import CORES, measure
from tests.benchmarks.ratio import Row, at_most
from tests.benchmarks.server import Server, predictor
from tests.conftest import deploy, make_config, make_policy
from tests.support.floods import BODIES, CONNECTIONS, HEAD

SECONDS, RATE = 5.0, 100.0
IDLE, SLOW = "connections that send nothing", "slow bodies"


def rows() -> list[Row]:
    rows: list[Row] = []
    for name in (*BODIES, *CONNECTIONS, IDLE, SLOW):
        with tempfile.TemporaryDirectory() as folder:
            config = make_config(Path(folder))
            make_policy(Path(folder) / "policy")
            deploy(connect(config).endpoint, Path(folder) / "policy")
            with predictor(config) as server:
                rows += _flood_rows(server, name)
    return rows


def _flood_rows(server: Server, name: str) -> list[Row]:
    measure(server.url, seconds=1.0)
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # the peak starts again from here
    before = _peak_megabytes(server.pid)
    with _flood(server.url, name):
        p99 = [measure(server.url, rate=RATE, seconds=SECONDS).p99 for _ in range(3)]
    growth = _peak_megabytes(server.pid) - before
    return [
        at_most(f"flood: {name}, 99th percentile of others", p99, "ms", 100),
        at_most(f"flood: {name}, memory", [growth], "MB more", 200),
    ]


@contextlib.contextmanager
def _flood(url: str, name: str) -> Iterator[None]:
    """Flood from another process, on the core of the load generator."""
    with subprocess.Popen([sys.executable, "-m", "tests.benchmarks.flood", url, name]) as process:
        os.sched_setaffinity(process.pid, CORES[-1:])
        try:
            yield
        finally:
            process.kill()


def _peak_megabytes(process_id: int) -> float:
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{process_id}/status").read_text())
    return int(kilobytes) / 1024


def main(url: str, name: str) -> None:
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    held: list[socket.socket] = []
    for number in itertools.count():
        with contextlib.suppress(OSError):  # closed by the server
            held.append(socket.create_connection((host, int(port)), timeout=10))
            _send(held[-1], name, number)
        if len(held) > (5000 if name in (IDLE, SLOW) else 0):
            held.pop(0).close()


def _send(connection: socket.socket, name: str, number: int) -> None:
    if name in BODIES:
        path, body = BODIES[name]
        head = b"POST %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        connection.sendall(head % (path.encode(), len(body)) + body)
        while connection.recv(1 << 16):
            pass
    elif name in CONNECTIONS:
        begin, part = CONNECTIONS[name]
        connection.sendall(begin)
        while True:
            connection.sendall(part)
    elif name == SLOW:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (31 << 20) + b" " * (number % 8 << 20))


if __name__ == "__main__":
    main(*sys.argv[1:])
