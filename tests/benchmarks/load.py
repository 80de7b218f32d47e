"""python -m tests.benchmarks.load URL '{"batch": 1, ...}' '[1]': a load generator, on core 1. Prints a Measure.

Without a rate, every connection sends its next request as soon as it has a response (closed loop). With a rate,
requests are due at fixed times and latency counts from the due time, so a stalled server does not reduce the load.
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

BODIES, DIM = 64, 20
DRAIN_TIMEOUT_SECONDS = 600.0  # a machine that became busy leaves many requests to be caught up with
CORES = sorted(
    os.sched_getaffinity(0)
)  # the last is the generator's, as a rule, so that it does not compete with the server
HEAD_END, OK = b"\r\n\r\n", b"HTTP/1.1 200"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Measure:
    """Measurements of a window of load."""

    rate: float  # responses per second
    p50: float  # milliseconds
    p99: float
    cpu: float  # fraction of a core used by the generator
    lateness: float  # milliseconds the generator sent requests after their due time, 99th percentile


def measure(
    url: str,
    batch: int = 1,
    seconds: float = 2.0,
    rate: float | None = None,
    connections: int = 16,
    named: bool = False,
    cores: list[int] = CORES[-1:],
) -> Measure:
    """Put load on a server from another process, on these cores.

    named: with contexts of named features, not of plain vectors.
    """
    load = {"batch": batch, "seconds": seconds, "rate": rate, "connections": connections, "named": named}
    command = [sys.executable, "-m", "tests.benchmarks.load", url, json.dumps(load), json.dumps(cores)]
    return Measure(**json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


class Load:
    """Due requests, idle connections, and the measured latencies in seconds."""

    def __init__(self, requests: list[bytes]) -> None:
        self.due: deque[float] = deque()
        self.idle: deque[Connection] = deque()
        self.latencies: list[float] = []
        self.lateness: list[float] = [0.0]
        self.closed_loop = False
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = itertools.cycle(requests)

    def on_response(self, connection: "Connection", due: float) -> None:
        now = time.perf_counter()
        self.latencies.append(now - due)
        if self.closed_loop:
            connection.send(next(self._requests), now)
        else:
            self.idle.append(connection)
            self.dispatch()

    def dispatch(self) -> None:
        while self.due and self.idle:
            self.idle.popleft().send(next(self._requests), self.due.popleft())

    def fail(self, reason: str) -> None:
        if not self.failure.done():
            self.failure.set_exception(RuntimeError(reason))


class Connection(asyncio.Protocol):
    """A keep-alive connection with one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load, self._buffer, self._due = load, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write

    def connection_lost(self, error: Exception | None) -> None:
        self._load.fail(f"the server closed a connection: {error}")

    def send(self, request: bytes, due: float) -> None:
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
            self._load.on_response(self, self._due)


def named_context(draws: random.Random) -> dict[str, object]:
    """A random context of named features."""
    return {
        "age": draws.randint(18, 90),
        "visits": round(draws.paretovariate(1.5), 2),
        "hour": draws.randrange(24),
        "member": draws.random() < 0.3,
        "returning": draws.random() < 0.7,
        "device": draws.choice(["phone", "tablet", "desktop"]),
        "country": draws.choice(["AT", "BE", "CH", "CZ", "DE", "DK", "FR", "IT", "NL", "PL"]),
        "referrer": draws.choice(["search", "mail", "friend", "advert", "none"]),
        "interests": draws.sample(["politics", "sport", "music", "film", "food", "travel", "science", "games"], 3),
        "history": [round(draws.gauss(), 4) for _ in range(6)],
    }


def _instance(draws: random.Random, named: bool) -> object:
    return {"context": named_context(draws)} if named else [round(draws.gauss(), 6) for _ in range(DIM)]


def _requests(url: str, batch: int, named: bool) -> list[bytes]:
    """Complete requests, built in advance."""
    parts, draws = urlsplit(url), random.Random(0)
    requests = []
    for _ in range(BODIES):
        instances = [_instance(draws, named) for _ in range(batch)]
        body = json.dumps({"instances": instances}, separators=(",", ":"))
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return requests


async def _run(url: str, batch: int, seconds: float, rate: float | None, connections: int, named: bool) -> Measure:
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    load = Load(_requests(url, batch, named))
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: Connection(load), parts.hostname, parts.port)
        load.idle.append(connection)
    start, cpu = time.perf_counter(), time.process_time()
    sending = asyncio.create_task(_send(load, rate, seconds, connections))
    await asyncio.wait([sending, load.failure], return_when=asyncio.FIRST_COMPLETED)
    await (load.failure if load.failure.done() else sending)
    duration, cpu = time.perf_counter() - start, time.process_time() - cpu
    p50, p99, lateness = _quantile(load.latencies, 0.5), _quantile(load.latencies, 0.99), _quantile(load.lateness, 0.99)
    return Measure(len(load.latencies) / duration, p50, p99, cpu / duration, lateness)


def _quantile(seconds: list[float], quantile: float) -> float:
    """A quantile, in milliseconds."""
    return 1000 * sorted(seconds)[int(quantile * len(seconds))]


async def _send(load: Load, rate: float | None, seconds: float, connections: int) -> None:
    await (_pace(load, rate, seconds) if rate else _flood(load, seconds))
    await _drain(load, connections)


async def _flood(load: Load, seconds: float) -> None:
    load.closed_loop = True
    load.due.extend([time.perf_counter()] * len(load.idle))
    load.dispatch()
    await asyncio.sleep(seconds)
    load.closed_loop = False


async def _pace(load: Load, rate: float, seconds: float) -> None:
    start, sent, total = time.perf_counter(), 0, int(rate * seconds)
    while sent < total:
        passed = time.perf_counter() - start
        load.lateness.append(passed - sent / rate)
        until = min(total, int(passed * rate) + 1)
        load.due.extend(start + i / rate for i in range(sent, until))
        load.dispatch()
        sent = until
        await asyncio.sleep(max(0.0, start + sent / rate - time.perf_counter()))


async def _drain(load: Load, connections: int) -> None:
    """Wait for every response, so that the slowest count too and the server ends without work."""
    async with asyncio.timeout(DRAIN_TIMEOUT_SECONDS):
        while load.due or len(load.idle) < connections:
            await asyncio.sleep(0.001)


def _loop(paced: bool) -> asyncio.AbstractEventLoop:
    """The fastest event loop or, for paced load, one with timers finer than a millisecond: that of select."""
    if not paced:
        try:
            import uvloop

            return uvloop.new_event_loop()
        except ImportError:
            pass
    return asyncio.SelectorEventLoop(selectors.SelectSelector() if paced else None)


def main(url: str, load: str, cores: str) -> None:
    os.sched_setaffinity(0, json.loads(cores))
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # interrupts no server on its core, as if remote
    options = json.loads(load)
    with asyncio.Runner(loop_factory=lambda: _loop(bool(options["rate"]))) as runner:
        print(json.dumps(asdict(runner.run(_run(url, **options)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
