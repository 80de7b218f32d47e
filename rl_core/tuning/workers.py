"""Processes that measure trials side by side: tasks and values are lines of JSON on their standard streams.

A worker ends when its standard input closes, so that it does not outlive the process that tunes.
"""

import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.tuning.objective import Objective, Source
from banditloop.rl_core.tuning.trials import Parameters, tried

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # of each process: trials are what runs in parallel
Evaluate = Callable[[Parameters, int], float]


def in_this_process(config: Config, objective: Objective) -> Evaluate:
    """The function that measures settings with one seed, in this process."""
    return lambda parameters, seed: objective.value(tried(config, parameters), seed)


def platform_of(config: Config) -> Platform | None:
    """The platform that the log is read from; None for a simulation, since its clients take seconds to import."""
    return connect(config) if config.tuning.objective == "log" else None


class Workers(AbstractContextManager["Workers"]):
    """`tuning.parallel` processes, each of which measures one task at a time."""

    def __init__(self, config: Config, source: Source, with_loop: bool) -> None:
        inputs = {"config": config.to_dict(), "source": source._asdict(), "with_loop": with_loop}
        self._all = [_start(inputs) for _ in range(config.tuning.parallel)]
        self._free: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
        for worker in self._all:
            self._free.put(worker)

    def __call__(self, parameters: Parameters, seed: int) -> float:
        """The value of settings with one seed, measured by a worker that is free. InvalidInput: they are refused."""
        worker = self._free.get()
        try:
            answer = _ask(worker, {"parameters": parameters, "seed": seed})
        finally:
            self._free.put(worker)
        if "error" in answer:
            raise InvalidInput(answer["error"])
        return float(answer["value"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._all:
            worker.kill()
        for worker in self._all:
            worker.communicate()


def _start(inputs: dict[str, Any]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "banditloop.rl_core.tuning.worker"]
    variables = {**os.environ, **ONE_THREAD}
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)
    assert worker.stdin
    worker.stdin.write(json.dumps(inputs) + "\n")
    worker.stdin.flush()
    return worker


def _ask(worker: "subprocess.Popen[str]", task: dict[str, Any]) -> dict[str, Any]:
    assert worker.stdin and worker.stdout
    try:
        worker.stdin.write(json.dumps(task) + "\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
    except BrokenPipeError:
        line = ""
    if not line:
        raise ChildProcessError(f"tuning: a process that measures trials has ended with status {worker.wait()}")
    answer: dict[str, Any] = json.loads(line)
    return answer
