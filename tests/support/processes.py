"""Real processes for tests: the predictor, the logger, anything with a config."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from tests.conftest import deploy, make_config, make_policy

STATE = "XDG_STATE_HOME"


@contextlib.contextmanager
def process(config: Config, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process, terminated on exit."""
    variables = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())} | environment
    with subprocess.Popen([sys.executable, *command], env=variables) as child:
        try:
            yield child
        finally:
            child.terminate()
            child.wait(120)


@contextlib.contextmanager
def served(folder: Path, **environment: str) -> Iterator[Platform]:
    """A local platform with its root in the folder, serving a policy trained on noise."""
    config = make_config(folder)
    platform = connect(config)
    make_policy(folder / "policy")
    deploy(platform.endpoint, folder / "policy")
    with process(config, "-m", "banditloop.functions.predictor", **environment):
        wait_until(platform.endpoint.serving_versions)  # the health route needs no authentication
        yield platform


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Poll until the condition holds, a third of the time: others need the processor to make it hold."""
    deadline = time.monotonic() + seconds
    while True:
        start = time.monotonic()
        if condition():
            return
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(min(0.5, 0.02 + 2 * (time.monotonic() - start)))


def start_as_process(command: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a container's command as a local process, with its environment variables and files of its own."""
    assert command[0] == "python"
    return subprocess.Popen([sys.executable, *command[1:]], env=os.environ | own_state() | variables)


def own_state() -> dict[str, str]:
    """The variable that gives a process a scratch folder of its own, as each container has one."""
    return {STATE: tempfile.mkdtemp(dir=os.environ.get(STATE))}


def free_port() -> int:
    """An unused TCP port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def listening(port: int) -> bool:
    """Whether a server accepts connections on this port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
