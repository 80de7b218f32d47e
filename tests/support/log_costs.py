"""What the logger function on Google Cloud costs: a model of its appends, and Google's prices in us-central1.

The prices and limits are those of Google's pages in 2026; no bill has been seen yet. Of an append, `APPEND` says what
the code sends: tests/google/test_log_costs.py counts it.
"""

import math
from typing import NamedTuple

import pyarrow as pa

from banditloop.rl_core.backends.google.bus import BATCH
from banditloop.rl_core.events.json_format import encode
from banditloop.rl_core.events.schema import KEYS
from banditloop.rl_core.ports.warehouse import MAX_SKEW
from tests.conftest import rewards, vector_decisions

DAY, MONTH_DAYS, TIB, GIB, MB = 86_400, 30, 2**40, 2**30, 10**6
LOAD_JOBS_A_DAY = 100_000  # Google's limit for a project
MIN_TABLE_BYTES = 10 * MB  # billed for each table that a statement refers to
QUERY_TIB, FREE_TIB = 6.25, 1.0
PUBSUB_TIB, FREE_PUBSUB_GIB, MIN_MESSAGE_BYTES = 40.0, 10.0, 1000
FUNCTION_SECOND = 0.000024 + 2 * 0.0000025  # of a processor and 2 GiB, while a tick is handled
TICK_SECONDS, APPEND_SECONDS = 5.0, 8.0  # guesses: of a tick without events, and of an append
PUBLISH_SECONDS, FEW_MESSAGES = 2.0, 100  # bus.publish_seconds; the logger's FULL_ROUND_MESSAGES


class Append(NamedTuple):
    """What one append sends: load jobs, and tables in all statements, of which one is the log's own."""

    load_jobs: int
    tables: int


class Costs(NamedTuple):
    """Of a loop: load jobs a day, TiB billed by BigQuery a month, and dollars a month."""

    load_jobs: float
    tib: float
    bigquery: float
    pubsub: float
    function: float

    @property
    def total(self) -> float:
        """Dollars a month."""
        return self.bigquery + self.pubsub + self.function


APPEND = Append(load_jobs=1, tables=4)
KEY_BYTES = {"event_id": 34, "name": 8, "source_id": 34, "timestamp": 8, "logged_at": 8}  # stored, as BigQuery counts


def costs(rate: float, minutes: int, replicas: int, decision: pa.Table, reward: pa.Table) -> Costs:
    """The costs at `rate` decisions a second, each with one reward, that look like these tables of one row."""
    ticks = DAY / (60 * minutes)
    decision_bytes = len(encode(decision)) * rate * PUBLISH_SECONDS / replicas  # of a replica's message
    topics = {
        "decisions": (replicas / PUBLISH_SECONDS, decision_bytes),
        "rewards": (rate, len(encode(reward))),  # an application sends one by one
    }
    appends = {topic: ticks * rounds(per_second * 60 * minutes, size) for topic, (per_second, size) in topics.items()}
    tib = MONTH_DAYS * sum(count * append_bytes(topic, rate) for topic, count in appends.items()) / TIB
    message_bytes = sum(
        per_second * max(size, MIN_MESSAGE_BYTES) * DAY * MONTH_DAYS for per_second, size in topics.values()
    )
    seconds = ticks * TICK_SECONDS + sum(appends.values()) * APPEND_SECONDS
    return Costs(
        load_jobs=APPEND.load_jobs * sum(appends.values()),
        tib=tib,
        bigquery=max(0.0, tib - FREE_TIB) * QUERY_TIB,
        pubsub=max(0.0, 2 * message_bytes / TIB - FREE_PUBSUB_GIB * GIB / TIB) * PUBSUB_TIB,
        function=MONTH_DAYS * seconds * FUNCTION_SECOND,
    )


def example(rate: float, minutes: int) -> Costs:
    """The costs of a loop with two replicas, 20 actions and a context of 20 numbers."""
    event_id = ["0" * 32]
    return costs(rate, minutes, 2, vector_decisions(event_id), rewards(event_id))


def rounds(waiting: float, size: float) -> int:
    """Appends of a topic in a tick: full batches of what waits, and what came meanwhile if many waited."""
    if waiting < FEW_MESSAGES:
        return 1
    return math.ceil(waiting / min(BATCH.messages, BATCH.size / size)) + 1


def append_bytes(topic: str, rate: float) -> float:
    """Bytes billed for an append: the keys of the days that a duplicate may be from, and small tables."""
    days = 2 * MAX_SKEW.days + 0.5  # half of the first day, on average
    keys = rate * days * DAY * sum(KEY_BYTES[name] for name in [*KEYS[topic], "timestamp", "logged_at"])
    return (APPEND.tables - 1) * MIN_TABLE_BYTES + max(keys, MIN_TABLE_BYTES)
