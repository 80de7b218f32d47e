"""The logger as a function that is ticked, on emulators, with the topics and subscriptions of `banditloop cloud up`."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

from banditloop.rl_core.backends.google.provisioning.pubsub import PushSubscription, Subscription, Topic
from banditloop.rl_core.config import Config
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from tests.support.processes import free_port, listening, wait_until
from tests.support.ticks import ticking

Start = Callable[[list[str], dict[str, str]], "subprocess.Popen[bytes]"]
TOPICS = ("decisions", "rewards")


def start_function(command: list[str], variables: dict[str, str], **others: str) -> "subprocess.Popen[bytes]":
    """Start functions-framework as a local process, which leads a process group."""
    python = [sys.executable, "-m", "functions_framework", *command[1:]]
    return subprocess.Popen(python, env=os.environ | variables | others, start_new_session=True)


@contextlib.contextmanager
def logger_function(
    config: Config, seconds: float, start: Start = start_function
) -> Iterator["subprocess.Popen[bytes]"]:
    """The running function, ticked every so many seconds."""
    port = free_port()
    make_topics(config, port)
    command = ["functions-framework", "--target=logger", "--source=functions/logger.py", "--signature-type=cloudevent"]
    variables = {ENVIRONMENT_VARIABLE: config.model_dump_json(exclude_none=True)}
    with start([*command, f"--port={port}", "--host=127.0.0.1"], variables) as function:
        try:
            wait_until(lambda: listening(port))
            with ticking(Topic(config.backend, "log-ticks").name, seconds):
                yield function
        finally:
            function.terminate()


def make_topics(config: Config, port: int) -> None:
    """Make the topics and subscriptions; ticks are pushed to a port of this machine."""
    backend = config.backend
    dead, ticks = Topic(backend, "dead"), Topic(backend, "log-ticks")
    topics = [Topic(backend, name) for name in TOPICS]
    function = SimpleNamespace(url=lambda: f"http://127.0.0.1:{port}")
    subscriptions = [Subscription(backend, topic, dead_letters=dead) for topic in topics]
    for resource in (dead, ticks, *topics, *subscriptions, Subscription(backend, dead)):
        if resource.state() == "missing":
            resource.make()
    PushSubscription(backend, ticks, function).make()
