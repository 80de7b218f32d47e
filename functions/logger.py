"""The logger: decisions and rewards from the bus into the warehouse, each once however often they come."""

import functools
import logging
import signal
import threading
import time

import functions_framework
import pyarrow as pa
from cloudevents.http import CloudEvent

from rl_core.backends import Platform, cloud_events, connect, connected, service
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.schema import SCHEMAS, decode

RETRY_SECONDS = 1.0
ROUND_SECONDS = 0.2  # from one round to the next at least: few appends where events come one by one
MANY = 100  # messages that do not wait for a next round
TOPICS = ("rewards", "decisions")  # rewards first: after a pause, a decision finds its reward already there
log = logging.getLogger("banditloop.logger")


def log_events(platform: Platform, topic: str, payloads: list[bytes]) -> int:
    """Append the events of some messages to the table their topic is named after; returns how many were new."""
    if topic not in SCHEMAS:
        raise InvalidInput(f"topic {topic!r}: is not one of: {', '.join(SCHEMAS)}")
    return platform.warehouse.append(topic, pa.concat_tables(decode(SCHEMAS[topic], p) for p in payloads))


@functions_framework.cloud_event
def logger(event: CloudEvent) -> None:
    """Log one message. What cannot be read goes to the dead letters; after any other error it comes again."""
    _, platform = connected()
    topic, payload = cloud_events.topic(event), cloud_events.payload(event)
    try:
        log_events(platform, topic, [payload])
    except InvalidInput as error:
        platform.bus.give_up(topic, str(error), payload)


def serve(config: Config) -> None:
    """Log what the bus has until told to stop."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    if config.backend.metrics_port:
        from rl_core.backends.metrics import serve_log_metrics  # a cloud function has its own

        serve_log_metrics(connect(config), config.backend.host, config.backend.metrics_port)
    while not stopping.is_set():
        platform = connect(config)
        try:
            with platform.bus.receiving(TOPICS):
                while not stopping.is_set():
                    log_round(platform, stopping)
        except Exception as error:  # whatever it is, its messages come again
            log.error("the bus fails, will try again: %r", error)
            stopping.wait(RETRY_SECONDS)


def log_round(platform: Platform, stopping: threading.Event) -> None:
    """Log what the bus has, and rest where that was little."""
    start = time.monotonic()
    many = [platform.bus.deliver(topic, functools.partial(log_events, platform, topic)) for topic in TOPICS]
    if max(many) < MANY:
        took = time.monotonic() - start
        stopping.wait(max(ROUND_SECONDS - took, took))  # an append costs the same for few events: gather more


if __name__ == "__main__":
    service.run(serve)
