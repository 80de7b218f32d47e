"""The processes that stand around the pipelines on one machine, started again whenever they die."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from rl_core.config import ENVIRONMENT_VARIABLE, Config

MODULES = ("functions.predictor", "functions.logger")
CHECK_SECONDS = 0.2
GRACE_SECONDS = 10


@contextlib.contextmanager
def services(config: Config) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Keep the predictor and the logger running; yields their present processes by module.

    SIGTERM ends the block as Ctrl-C does, so that they are never left behind.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logs = Path(config.backend.root) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    stopping = threading.Event()
    processes = {module: _start(module, config, logs) for module in MODULES}

    def watch() -> None:
        while not stopping.wait(CHECK_SECONDS):
            for module, process in processes.items():
                if process.poll() is not None:
                    processes[module] = _start(module, config, logs)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield processes
    finally:
        stopping.set()
        watcher.join()
        for process in processes.values():  # the predictor first: what it flushes, the logger still logs
            _stop(process)


def _start(module: str, config: Config, logs: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())}
    with (logs / f"{module.rpartition('.')[2]}.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the parent, which stops them in order
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
