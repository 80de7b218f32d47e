"""Real processes for tests: the predictor, the logger, anything with a config."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rl_core.backends import Platform, connect
from rl_core.config import ENVIRONMENT_VARIABLE, Config
from tests.conftest import deploy, make_config, make_policy


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


@contextlib.contextmanager
def served(folder: Path, **environment: str) -> Iterator[Platform]:
    """A platform with a root in the folder, whose endpoint answers with a policy trained on noise."""
    config = make_config(folder)
    platform = connect(config)
    make_policy(folder / "policy")
    deploy(platform.endpoint, folder / "policy")
    with process(config, "-m", "functions.predictor", **environment):
        wait_until(platform.endpoint.serving)  # health is open to all
        yield platform


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def instead_of_container(command: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process of this machine that is told what a container is told."""
    assert command[0] == "python"
    return subprocess.Popen([sys.executable, *command[1:]], env=os.environ | variables)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def listening(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
