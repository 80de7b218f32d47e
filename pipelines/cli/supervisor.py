"""Supervisor of the predictor and the logger on one machine: restarts them whenever they exit or hang."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from banditloop.pipelines.cli.events import Event
from banditloop.pipelines.cli.health import PATIENCE_SECONDS, HealthProbe
from banditloop.pipelines.cli.service import Service, terminate
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput

PREDICTOR = "banditloop.functions.predictor"
MODULES = (PREDICTOR, "banditloop.functions.logger")  # stopped in this order
CHECK_SECONDS = 0.2
RESTART_SECONDS = 0.5
WRONG_INPUT = 2  # exit status of a service whose config is wrong, or whose port is taken
Tell = Callable[[Event], object]  # shows an event to whoever watches


@contextlib.contextmanager
def services(config: Config, tell: Tell = lambda event: None) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Keep the predictor and the logger running; yields their current processes by module.

    `tell` gets an event when one is restarted, crashes again and again, or hangs, and what it warns of.

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
        supervisor = Supervisor(config, logs, tell)
        try:
            yield supervisor.processes
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # already stopping
            supervisor.stop()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if supervisor.error:
                raise InvalidInput(supervisor.error)


class Supervisor:
    """Starts the services and a thread that restarts those that exit or hang, and rotates their logs."""

    def __init__(self, config: Config, logs: Path, tell: Tell) -> None:
        self._services = {module: Service(module, config, logs) for module in MODULES}
        self._probe, self._tell = HealthProbe(connect(config).endpoint), tell
        self.error = ""  # of a service that found its config wrong
        self._stopping = threading.Event()
        self.processes = {module: service.start() for module, service in self._services.items()}
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Stop the thread and the services."""
        self._stopping.set()
        self._watcher.join()
        for running in self.processes.values():  # the predictor first: the logger still logs what it flushes
            terminate(running)

    def _watch(self) -> None:
        looks: list[Callable[[], None]] = [self._kill_if_hung]
        for module, service in self._services.items():
            looks += [partial(self._tell_warnings, service), service.rotate_log, partial(self._check, module)]
        while not self._stopping.wait(CHECK_SECONDS):
            for look in looks:
                with contextlib.suppress(Exception):  # disk full, out of memory or file descriptors: try again later
                    look()
            if self.error:
                return os.kill(os.getpid(), signal.SIGTERM)

    def _kill_if_hung(self) -> None:
        if self._probe.is_hung():
            text = f"the predictor has not answered for {PATIENCE_SECONDS:g} s: it is killed and restarted"
            self._tell(Event("failed", text))
            self.processes[PREDICTOR].kill()
            self.processes[PREDICTOR].wait()

    def _tell_warnings(self, service: Service) -> None:
        for event in service.warnings.events():
            self._tell(event)

    def _check(self, module: str) -> None:
        """Restart a service that has ended; if it found its config wrong, keep its error instead."""
        service, status = self._services[module], self.processes[module].poll()
        if status == WRONG_INPUT:
            self.error = service.last_line() or f"{service.name}: ended with status {status}"
        elif status is not None:
            self._restart(module, status)

    def _restart(self, module: str, status: int) -> None:
        service = self._services[module]
        if trouble := service.crash_loop(status):
            self._tell(Event("failed", trouble))
        if not self._stopping.wait(RESTART_SECONDS):
            self._tell(Event("restarted", f"the {service.name}, which ended with status {status}"))
            self.processes[module] = service.start()
            if module == PREDICTOR:
                self._probe.restarted()


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
