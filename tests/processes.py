"""Real processes for tests: the predictor, the logger, anything with a config."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from rl_core.config import ENVIRONMENT_VARIABLE, Config


@contextlib.contextmanager
def process(config: Config, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that is stopped at the end."""
    variables = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())} | environment
    with subprocess.Popen([sys.executable, *command], env=variables) as running:
        try:
            yield running
        finally:
            running.terminate()
            running.wait(20)


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
