"""The logger: appends decisions and rewards from the bus to the warehouse, each once however often it is delivered."""

import functools
import logging
import signal
import threading
import time

import functions_framework
import pyarrow as pa
from cloudevents.http import CloudEvent

from banditloop.rl_core import cloud_events, process
from banditloop.rl_core.backends import connect, platform_from_environment
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.json_format import decode
from banditloop.rl_core.events.schema import KEYS, event_schema
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.settings.task import Task

RETRY_SECONDS = 1.0
MIN_ROUND_SECONDS = 0.2  # between the starts of two rounds: fewer appends where events arrive one by one
FULL_ROUND_MESSAGES = 100  # after as many messages of a topic, the next round starts at once
TOPICS = ("rewards", "decisions")  # rewards first: after downtime, a decision is appended after its reward
log = logging.getLogger("banditloop.logger")


def log_events(task: Task, platform: Platform, topic: str, payloads: list[bytes]) -> int:
    """Append the events of some messages to the table named after their topic; returns the number of new events."""
    if topic not in KEYS:
        raise InvalidInput(f"topic {topic!r}: is not one of: {', '.join(KEYS)}")
    schema = event_schema(topic, task)
    return platform.warehouse.append(topic, pa.concat_tables(decode(schema, payload, task) for payload in payloads))


@functions_framework.cloud_event
def logger(event: CloudEvent) -> None:
    """Log one message. An invalid one goes to the dead letters; after any other error it is redelivered."""
    config, platform = platform_from_environment()
    topic, payload = cloud_events.topic(event), cloud_events.payload(event)
    try:
        log_events(config.task, platform, topic, [payload])
    except InvalidInput as error:
        platform.bus.dead_letter(topic, str(error), payload)


def serve(config: Config) -> None:
    """Log the messages of the bus until SIGTERM or SIGINT."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    if config.logging.metrics_port:
        # Imported here: a cloud function has its platform's metrics and needs no prometheus_client.
        from banditloop.rl_core.serving.http.log_metrics import serve_log_metrics

        serve_log_metrics(connect(config), config)
    while not stopping.is_set():
        platform = connect(config)
        try:
            with platform.bus.subscribe(TOPICS):
                while not stopping.is_set():
                    log_round(config.task, platform, stopping)
        except Exception as error:  # any error: its messages are redelivered
            log.error("the bus failed, reconnecting: %r", error)
            stopping.wait(RETRY_SECONDS)


def log_round(task: Task, platform: Platform, stopping: threading.Event) -> None:
    """Log the messages that wait on the bus and, if they were few, pause until more have gathered."""
    start = time.monotonic()
    counts = [platform.bus.deliver(topic, functools.partial(log_events, task, platform, topic)) for topic in TOPICS]
    if max(counts) < FULL_ROUND_MESSAGES:
        elapsed = time.monotonic() - start
        stopping.wait(max(MIN_ROUND_SECONDS - elapsed, elapsed))  # an append of few events costs as much as one of many


if __name__ == "__main__":
    process.run(serve)
