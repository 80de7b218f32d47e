"""python -m tests.benchmarks.load URL '{"batch": 1, ...}': a load generator, a process of its own. Prints a Measure.

Without a rate every connection asks again as soon as it is answered. With one, requests are due at fixed times and
their latency counts from then, so that a server which stalls is not asked less often while it does.
"""

import asyncio
import itertools
import json
import os
import random
import re
import selectors
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

BODIES, DIM, PATIENCE = 64, 20, 60.0
CORES = sorted(os.sched_getaffinity(0))  # the last is the generator's: on a server's core it would be in its way
HEAD_END, OK = b"\r\n\r\n", b"HTTP/1.1 200"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Measure:
    """What a stretch of load came to."""

    rate: float  # answers a second
    p50: float  # milliseconds
    p99: float
    cpu: float  # share of a core that the generator itself took
    late: float  # milliseconds by which the generator itself missed the times of all but 1 % of the requests


def measure(
    url: str, batch: int = 1, seconds: float = 2.0, rate: float | None = None, connections: int = 16
) -> Measure:
    """Put load on a server, from another process."""
    wanted = json.dumps({"batch": batch, "seconds": seconds, "rate": rate, "connections": connections})
    command = [sys.executable, "-m", "tests.benchmarks.load", url, wanted]
    return Measure(**json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


class Load:
    """Requests that are due, and the connections that are free for them."""

    def __init__(self, url: str, batch: int) -> None:
        self.due: deque[float] = deque()
        self.idle: deque[Connection] = deque()
        self.latencies: list[float] = []
        self.late: list[float] = [0.0]
        self.closed_loop = False
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = itertools.cycle(_requests(url, batch))

    def answered(self, connection: "Connection", due: float) -> None:
        now = time.perf_counter()
        self.latencies.append(now - due)
        if self.closed_loop:
            connection.ask(next(self._requests), now)
        else:
            self.idle.append(connection)
            self.hand_out()

    def hand_out(self) -> None:
        while self.due and self.idle:
            self.idle.popleft().ask(next(self._requests), self.due.popleft())

    def fail(self, reason: str) -> None:
        if not self.failure.done():
            self.failure.set_exception(RuntimeError(reason))


class Connection(asyncio.Protocol):
    """One connection, kept alive, with one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load, self._buffer, self._due = load, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write

    def connection_lost(self, error: Exception | None) -> None:
        self._load.fail(f"the server closed a connection: {error}")

    def ask(self, request: bytes, due: float) -> None:
        self._due = due
        self._write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        end = buffer.find(HEAD_END)
        if end < 0:
            return
        length = LENGTH.search(buffer, 0, end)
        if not buffer.startswith(OK) or not length:
            self._load.fail(f"the server answered {buffer[:300]!r}")
        elif len(buffer) >= end + len(HEAD_END) + int(length[1]):
            self._buffer = b""
            self._load.answered(self, self._due)


def _requests(url: str, batch: int) -> list[bytes]:
    """Whole requests, made before they are needed."""
    parts, draws = urlsplit(url), random.Random(0)
    made = []
    for _ in range(BODIES):
        instances = [[round(draws.gauss(), 6) for _ in range(DIM)] for _ in range(batch)]
        body = json.dumps({"instances": instances}, separators=(",", ":"))
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        made.append(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return made


async def _run(url: str, batch: int, seconds: float, rate: float | None, connections: int) -> Measure:
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    load = Load(url, batch)
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: Connection(load), parts.hostname, parts.port)
        load.idle.append(connection)
    start, cpu = time.perf_counter(), time.process_time()
    going = asyncio.create_task(_ask(load, rate, seconds, connections))
    await asyncio.wait([going, load.failure], return_when=asyncio.FIRST_COMPLETED)
    await (load.failure if load.failure.done() else going)
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    p50, p99, late = _at(load.latencies, 0.5), _at(load.latencies, 0.99), _at(load.late, 0.99)
    return Measure(len(load.latencies) / took, p50, p99, cpu / took, late)


def _at(times: list[float], share: float) -> float:
    return 1000 * sorted(times)[int(share * len(times))]


async def _ask(load: Load, rate: float | None, seconds: float, connections: int) -> None:
    await (_pace(load, rate, seconds) if rate else _flood(load, seconds))
    await _drain(load, connections)


async def _flood(load: Load, seconds: float) -> None:
    load.closed_loop = True
    load.due.extend([time.perf_counter()] * len(load.idle))
    load.hand_out()
    await asyncio.sleep(seconds)
    load.closed_loop = False


async def _pace(load: Load, rate: float, seconds: float) -> None:
    start, made, many = time.perf_counter(), 0, int(rate * seconds)
    while made < many:
        passed = time.perf_counter() - start
        load.late.append(passed - made / rate)
        until = min(many, int(passed * rate) + 1)
        load.due.extend(start + i / rate for i in range(made, until))
        load.hand_out()
        made = until
        await asyncio.sleep(max(0.0, start + made / rate - time.perf_counter()))


async def _drain(load: Load, connections: int) -> None:
    """Wait for every answer: the slowest count too, and the server is left without work."""
    async with asyncio.timeout(PATIENCE):
        while load.due or len(load.idle) < connections:
            await asyncio.sleep(0.001)


def _loop(paced: bool) -> asyncio.AbstractEventLoop:
    """The fastest loop there is or, to keep appointments, one whose timers are finer than a millisecond: select's."""
    if not paced:
        try:
            import uvloop

            return uvloop.new_event_loop()
        except ImportError:
            pass
    return asyncio.SelectorEventLoop(selectors.SelectSelector() if paced else None)


def main(url: str, wanted: str) -> None:
    os.sched_setaffinity(0, CORES[-1:])
    options = json.loads(wanted)
    with asyncio.Runner(loop_factory=lambda: _loop(bool(options["rate"]))) as runner:
        print(json.dumps(asdict(runner.run(_run(url, **options)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
