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

from filelock import FileLock, Timeout

from rl_core.backend import LocalBackend
from rl_core.backends import service
from rl_core.config import ENVIRONMENT_VARIABLE, Config
from rl_core.errors import InvalidInput

MODULES = ("functions.predictor", "functions.logger")
CHECK_SECONDS = 0.2
PAUSE_SECONDS = 0.5
REFUSED = 2  # how a service exits that its config or the machine does not allow
GRACE_SECONDS = 10


@contextlib.contextmanager
def services(config: Config) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Keep the predictor and the logger running; yields their present processes by module.

    SIGTERM ends the block as Ctrl-C does, so that they are never left behind.
    """
    if not isinstance(config.backend, LocalBackend):
        raise InvalidInput(f"backend.name = {config.backend.name!r}: that serves itself; this is for one machine")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logs = Path(config.backend.root) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    lock = FileLock(logs / "services.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise InvalidInput(f"backend.root = {config.backend.root!r}: another loop or serve runs there") from None
    stopping = threading.Event()
    processes = {module: _start(module, config, logs) for module in MODULES}

    refused: list[str] = []

    def watch() -> None:
        while not stopping.wait(CHECK_SECONDS):
            for module, process in processes.items():
                if process.poll() == REFUSED:
                    refused.append(_log(module, logs).read_text().splitlines()[-1].removeprefix("banditloop: "))
                    return os.kill(os.getpid(), signal.SIGTERM)
                if process.poll() is not None and not stopping.wait(PAUSE_SECONDS):
                    with contextlib.suppress(OSError):  # no memory, no descriptors: then the next time
                        processes[module] = _start(module, config, logs)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield processes
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # we are at it
        stopping.set()
        watcher.join()
        for process in processes.values():  # the predictor first: what it flushes, the logger still logs
            _stop(process)
        lock.release()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if refused:
            raise InvalidInput(refused[0])


def _start(module: str, config: Config, logs: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())}
    with _log(module, logs).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module, service.WITH_PARENT],
            env=environment,
            stdin=subprocess.PIPE,  # closes with this process, whatever ends it
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the parent, which stops them in order
        )


def _log(module: str, logs: Path) -> Path:
    return logs / f"{module.rpartition('.')[2]}.txt"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
