"""The logger: appends decisions and rewards from the bus to the warehouse, each once however often it is delivered."""

import functools
import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import functions_framework
import pyarrow as pa
from cloudevents.http import CloudEvent

from banditloop.rl_core import cloud_events, process
from banditloop.rl_core.backends import connect, platform_from_environment
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.consistency import contradictions
from banditloop.rl_core.events.json_format import decode, single_events
from banditloop.rl_core.events.reward_checks import outside_range
from banditloop.rl_core.events.rows import with_times
from banditloop.rl_core.events.schema import KEYS, event_schema
from banditloop.rl_core.ports import Platform, action_counts
from banditloop.rl_core.settings.loop import RewardSection
from banditloop.rl_core.settings.task import Task

RETRY_SECONDS = 1.0
MIN_ROUND_SECONDS = 0.2  # between the starts of two rounds: fewer appends where events arrive one by one
FULL_ROUND_MESSAGES = 100  # after as many messages of a topic, the next round starts at once
TOPICS = ("rewards", "decisions")  # rewards first: after downtime, a decision is appended after its reward
log = logging.getLogger("banditloop.logger")


def log_events(
    task: Task,
    platform: Platform,
    topic: str,
    payloads: Sequence[bytes],
    received_at: Sequence[datetime] | None = None,
    reward: RewardSection | None = None,
) -> int:
    """Append the events of some messages to the table named after their topic; returns the number of new events.

    Of a message with valid events, the invalid ones become dead letters. Rewards that do not say when they were
    received have the time of their message, `received_at`; where the section `reward` is given, they must be in the
    task's range.

    Raises:
        InvalidInput: a message has no valid events, or one of several messages has an invalid one; nothing was logged.
    """
    if topic not in KEYS:
        raise InvalidInput(f"topic {topic!r}: is not one of: {', '.join(KEYS)}")
    read = functools.partial(_read, task, platform, topic, reward)
    invalid: list[tuple[str, bytes]] = []
    try:
        events = read(payloads, received_at)
    except InvalidInput:
        if len(payloads) > 1:
            raise  # the bus hands each over alone
        events, invalid = _valid_events(read, payloads[0], received_at)
    added = platform.warehouse.append(topic, events)
    for reason, payload in invalid:
        platform.bus.dead_letter(topic, reason, payload)
    return added


def _valid_events(
    read: Callable[..., pa.Table], message: bytes, received_at: Sequence[datetime] | None
) -> tuple[pa.Table, list[tuple[str, bytes]]]:
    """The valid events of a message, and the others with what is wrong. InvalidInput: none of them is valid."""
    valid, invalid = [], []
    for event in single_events(message):
        try:
            valid.append(read([event], received_at))
        except InvalidInput as error:
            invalid.append((str(error), event))
    return (pa.concat_tables(valid), invalid) if valid else (read([message], received_at), [])


def _read(
    task: Task,
    platform: Platform,
    topic: str,
    reward: RewardSection | None,
    payloads: Sequence[bytes],
    received_at: Sequence[datetime] | None,
) -> pa.Table:
    """The events of some messages. InvalidInput: one of them cannot be logged; says why."""
    tables = [decode(event_schema(topic, task), payload, task) for payload in payloads]
    if topic == "decisions":
        events = pa.concat_tables(tables)
        # Most versions have as many actions as the task: the endpoint is asked only if one has not.
        wrong = contradictions(events, task) and contradictions(events, task, action_counts(platform.endpoint))
    else:
        events = pa.concat_tables(map(with_times, tables, received_at) if received_at else tables)
        wrong = outside_range(events, task, reward) if reward else {}
    for text in wrong.values():
        raise InvalidInput(text)
    return events


@functions_framework.cloud_event
def logger(event: CloudEvent) -> None:
    """Log one message. An invalid one goes to the dead letters; after any other error it is redelivered."""
    config, platform = platform_from_environment()
    topic, payload, time = cloud_events.topic(event), cloud_events.payload(event), cloud_events.received_at(event)
    try:
        log_events(config.task, platform, topic, [payload], [time] if time else None, config.reward)
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
                    log_round(config, platform, stopping)
        except Exception as error:  # any error: its messages are redelivered
            log.error("the bus failed, reconnecting: %r", error)
            stopping.wait(RETRY_SECONDS)


def log_round(config: Config, platform: Platform, stopping: threading.Event) -> None:
    """Log the messages that wait on the bus and, if they were few, pause until more have gathered."""
    start = time.monotonic()
    handlers = [functools.partial(log_events, config.task, platform, topic, reward=config.reward) for topic in TOPICS]
    counts = [platform.bus.deliver(topic, handler, timed=True) for topic, handler in zip(TOPICS, handlers, strict=True)]
    if max(counts) < FULL_ROUND_MESSAGES:
        elapsed = time.monotonic() - start
        stopping.wait(max(MIN_ROUND_SECONDS - elapsed, elapsed))  # an append of few events costs as much as one of many


if __name__ == "__main__":
    process.run(serve)
