"""The logger: appends decisions and rewards from the bus to the warehouse, each once however often it is delivered.

It is a process (`python -m banditloop.functions.logger`) or a function that every tick starts. Both pull, and several
can run beside each other.
"""

import functools
import logging
import signal
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import functions_framework
import pyarrow as pa
from cloudevents.http import CloudEvent

from banditloop.rl_core import cloud_events, process
from banditloop.rl_core.backends import connect, platform_from_environment
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.consistency import contradictions
from banditloop.rl_core.events.json_format import decode
from banditloop.rl_core.events.messages import valid_events
from banditloop.rl_core.events.reward_checks import outside_range
from banditloop.rl_core.events.rows import with_times
from banditloop.rl_core.events.schema import KEYS, event_schema
from banditloop.rl_core.ports import Platform, action_counts
from banditloop.rl_core.settings.loop import RewardSection
from banditloop.rl_core.settings.task import Task

RETRY_SECONDS = 1.0
MIN_ROUND_SECONDS = 0.2  # between the starts of two rounds: fewer appends where events arrive one by one
FULL_ROUND_MESSAGES = 100  # after so many messages of a topic, more may be waiting: the next round starts at once
GATHER_SECONDS = 1.0  # pause before each append of the function: it has prefetched no messages
DRAIN_SECONDS = 500.0  # Pub/Sub sends an unacknowledged tick again after 600 seconds
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

    A message without a valid event becomes a dead letter; of other messages, only the invalid events do. Rewards
    without a time of receipt get that of their message, from `received_at`. Where the section `reward` is given,
    rewards must be in the task's range.

    Raises:
        InvalidInput: there is no such topic.
    """
    if topic not in KEYS:
        raise InvalidInput(f"topic {topic!r}: is not one of: {', '.join(KEYS)}")
    read = functools.partial(_read, task, platform, topic, reward)
    valid, invalid = valid_events(read, payloads, received_at)
    added = platform.warehouse.append(topic, pa.concat_tables(valid)) if valid else 0
    for reason, payload in invalid:
        platform.bus.dead_letter(topic, reason, payload)
    return added


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
    """Log the messages that wait on the bus; the event is a tick.

    Raises:
        InvalidInput: the event is itself a message of the bus, which has to be pulled.
    """
    if cloud_events.topic(event) in TOPICS:
        raise InvalidInput(f"{event['source']}: pushes its messages; `banditloop cloud up` makes its subscription pull")
    if _draining.acquire(blocking=False):  # otherwise the tick before this one is still being handled
        try:
            drain(*_connected())
        finally:
            _draining.release()


_draining = threading.Lock()
_connected = functools.cache(platform_from_environment)  # an instance looks up its tables once


def drain(config: Config, platform: Platform) -> None:
    """Log the messages that were published before this call, for at most about DRAIN_SECONDS."""
    called_at, start = datetime.now(UTC), time.monotonic()
    topics = list(TOPICS)
    with platform.bus.subscribe(TOPICS):
        while topics and time.monotonic() - start < DRAIN_SECONDS:
            time.sleep(GATHER_SECONDS)
            topics = [topic for topic in topics if _log_batch(config, platform, topic, called_at)]


def _log_batch(config: Config, platform: Platform, topic: str, before: datetime) -> bool:
    """Log a batch of a topic's messages; returns whether messages published `before` a time may be left."""
    published: list[datetime] = []

    def handle(payloads: Sequence[bytes], times: Sequence[datetime]) -> None:
        published.extend(times)
        log_events(config.task, platform, topic, payloads, times, config.judged_reward)

    count = platform.bus.deliver(topic, handle, timed=True)
    return count >= FULL_ROUND_MESSAGES and min(published) < before


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
    handlers = [
        functools.partial(log_events, config.task, platform, topic, reward=config.judged_reward) for topic in TOPICS
    ]
    counts = [platform.bus.deliver(topic, handler, timed=True) for topic, handler in zip(TOPICS, handlers, strict=True)]
    if max(counts) < FULL_ROUND_MESSAGES:
        elapsed = time.monotonic() - start
        stopping.wait(max(MIN_ROUND_SECONDS - elapsed, elapsed))  # an append of few events costs as much as one of many


if __name__ == "__main__":
    process.run(serve)
