"""One service on this machine: its process, its log file, and how often it ended."""

import json
import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from banditloop.pipelines.cli.log_tail import LogTail
from banditloop.rl_core import process
from banditloop.rl_core.config import Config
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE

CRASH_LOOP, CRASH_LOOP_SECONDS = 3, 60.0  # so many exits within so many seconds are a crash loop
STOP_SECONDS = 10


class Service:
    """A module of banditloop.functions that runs as a process."""

    def __init__(self, module: str, config: Config, logs: Path) -> None:
        self.name = module.rpartition(".")[2]
        self._module, self._config = module, config
        self.log = logs / f"{self.name}.txt"
        self.warnings = LogTail(self.log)
        self._exits: deque[float] = deque(maxlen=CRASH_LOOP)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process, which ends when this one does."""
        environment = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(self._config.to_dict())}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", self._module, process.WITH_PARENT],
                env=environment,
                stdin=subprocess.PIPE,  # closes when this process ends, however it ends
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches only this process, which stops the services in order
            )

    def crash_loop(self, status: int) -> str:
        """One line about its crash loop, now that it has ended with a status; empty if it is in none."""
        self._exits.append(time.monotonic())
        if len(self._exits) < CRASH_LOOP or self._exits[-1] - self._exits[0] > CRASH_LOOP_SECONDS:
            return ""
        self._exits.clear()
        often = f"{self.name} ended {CRASH_LOOP} times within {CRASH_LOOP_SECONDS:g} s and is restarted again and again"
        return f"{often}; its last status: {status}; its last line, in {self.log}: {self.last_line() or 'none'}"

    def last_line(self) -> str:
        """The last line that it has printed."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return lines[-1].removeprefix("banditloop: ") if lines else ""

    def rotate_log(self) -> None:
        """Move the content of the log to NAME.1.txt once it is too large. The process goes on writing to the file."""
        if self.log.stat().st_size > self._config.retention.log_megabytes * 1e6:
            self.log.with_suffix(".1.txt").write_bytes(self.log.read_bytes())
            os.truncate(self.log, 0)


def terminate(running: subprocess.Popen[bytes]) -> None:
    """Stop a process; kill it if it has not ended after STOP_SECONDS."""
    running.terminate()
    try:
        running.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()
