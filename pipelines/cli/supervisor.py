"""Supervisor of the predictor and the logger on one machine: restarts them whenever they exit."""

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

from banditloop.rl_core import process
from banditloop.rl_core.config import ENVIRONMENT_VARIABLE, Config
from banditloop.rl_core.errors import InvalidInput

MODULES = ("banditloop.functions.predictor", "banditloop.functions.logger")  # stopped in this order
CHECK_SECONDS = 0.2
RESTART_SECONDS = 0.5
WRONG_INPUT = 2  # exit status of a service whose config is wrong, or whose port is taken
STOP_SECONDS = 10


@contextlib.contextmanager
def services(config: Config) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Keep the predictor and the logger running; yields their current processes by module.

    SIGTERM ends the block as Ctrl-C does, so that the services never outlive it.

    Raises:
        InvalidInput: the platform runs the services, another supervisor uses the same root, or a service found its
            config wrong.
    """
    root = config.backend.process_folder()
    if root is None:
        raise InvalidInput(f"backend.name = {config.backend.name!r}: the platform serves; give 'local' to serve here")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logs = root / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with _locked(root, logs / "services.lock"):
        supervisor = Supervisor(config, logs)
        try:
            yield supervisor.processes
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # already stopping
            supervisor.stop()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if supervisor.error:
                raise InvalidInput(supervisor.error)


class Supervisor:
    """Starts the services and a thread that restarts those that exit."""

    def __init__(self, config: Config, logs: Path) -> None:
        self._config, self._logs = config, logs
        self.error = ""  # of a service that found its config wrong
        self._stopping = threading.Event()
        self.processes = {module: self._start(module) for module in MODULES}
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Stop the thread and the services."""
        self._stopping.set()
        self._watcher.join()
        for service in self.processes.values():  # the predictor first: the logger still logs what it flushes
            _terminate(service)

    def _watch(self) -> None:
        while not self._stopping.wait(CHECK_SECONDS):
            for module, service in self.processes.items():
                if service.poll() == WRONG_INPUT:
                    self.error = self._log(module).read_text().splitlines()[-1].removeprefix("banditloop: ")
                    return os.kill(os.getpid(), signal.SIGTERM)
                if service.poll() is not None and not self._stopping.wait(RESTART_SECONDS):
                    with contextlib.suppress(OSError):  # out of memory or file descriptors: try again later
                        self.processes[module] = self._start(module)

    def _start(self, module: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(self._config.to_dict())}
        with self._log(module).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, process.WITH_PARENT],
                env=environment,
                stdin=subprocess.PIPE,  # closes when this process ends, however it ends
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches only this process, which stops the services in order
            )

    def _log(self, module: str) -> Path:
        return self._logs / f"{module.rpartition('.')[2]}.txt"


@contextlib.contextmanager
def _locked(root: Path, path: Path) -> Iterator[None]:
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise InvalidInput(f"backend.root = {str(root)!r}: another loop or serve runs there") from None
    try:
        yield
    finally:
        lock.release()


def _terminate(service: subprocess.Popen[bytes]) -> None:
    service.terminate()
    try:
        service.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()
