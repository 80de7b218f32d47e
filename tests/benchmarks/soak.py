"""The predictor's memory in ten minutes of load at half its maximum rate, by kind of policy, with a running logger."""

import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from banditloop.rl_core.agents import Agent
from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.neural_linear import NeuralLinear
from banditloop.rl_core.backends import connect
from tests.benchmarks.load import measure
from tests.benchmarks.ratio import Row
from tests.benchmarks.server import Server, predictor
from tests.conftest import deploy, make_config, make_policy
from tests.support.processes import process

AGENTS = LinearThompson(), LinUCB(), NeuralLinear()
SECONDS, FIRST = 600, 60  # memory settles in the first minute


def rows() -> list[Row]:
    return [_row(agent) for agent in AGENTS]


def _row(agent: Agent) -> Row:
    with tempfile.TemporaryDirectory() as name:
        config = make_config(Path(name))
        make_policy(Path(name) / "policy", agent=agent)
        deploy(connect(config).endpoint, Path(name) / "policy")
        with process(config, "-m", "banditloop.functions.logger"), predictor(config) as server:
            rate = measure(server.url).rate / 2
            memory = _memory_under_load(server, rate)
    growth = [later - memory[FIRST] for later in memory[FIRST:]]
    title = f"soak: {agent.name}, memory after the first minute, {rate:,.0f} a second"
    return Row(title, growth[-1], "MB more", min(growth), max(growth), 10.0, growth[-1] <= 10)


def _memory_under_load(server: Server, rate: float) -> list[float]:
    """The server's memory in megabytes at every second of the load."""
    samples = []
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(measure, server.url, seconds=float(SECONDS), rate=rate)
        start = time.monotonic()
        while not load.done():
            samples.append(_megabytes(server.pid))
            time.sleep(max(0.0, start + len(samples) - time.monotonic()))
        load.result()  # raises if the load failed
    return samples


def _megabytes(pid: int) -> float:
    [kilobytes] = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(kilobytes) / 1024
