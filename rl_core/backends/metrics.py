"""What a process tells Prometheus."""

from collections.abc import Callable, Iterable

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from rl_core.backends import Platform, Vitals
from rl_core.errors import InvalidInput

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
SORTED_AT_ONCE = 1000


class Collected:
    """Metrics that are asked for at every scrape."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self.collect = families


class RequestMetrics:
    """Requests of a server, by route and status, and how long they took; and whatever else `families` tell.

    They are sorted into buckets many at a time: prometheus_client's own histogram takes ten times as long for each.
    """

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(Collected(families))
        self._registry.register(Collected(self._histogram))
        self._latest: dict[tuple[str, int], list[float]] = {}
        self._counts: dict[tuple[str, int], np.ndarray] = {}  # by bucket
        self._sums: dict[tuple[str, int], float] = {}

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        latest = self._latest.setdefault((route, status), [])
        latest.append(seconds)
        if len(latest) >= SORTED_AT_ONCE:
            self._sort()

    def text(self) -> bytes:
        """All of them, in the text format."""
        return generate_latest(self._registry)

    def _sort(self) -> None:
        for key, seconds in self._latest.items():
            counts = np.bincount(np.searchsorted(SECONDS, seconds), minlength=len(SECONDS) + 1)
            self._counts[key] = self._counts.get(key, 0) + counts
            self._sums[key] = self._sums.get(key, 0.0) + sum(seconds)
        self._latest.clear()

    def _histogram(self) -> Iterable[Metric]:
        self._sort()
        about = "from a request's head to its answer"
        histogram = HistogramMetricFamily("banditloop_request_seconds", about, labels=["route", "status"])
        for (route, status), counts in self._counts.items():
            bounds = [*map(str, SECONDS), "+Inf"]
            buckets = list(zip(bounds, counts.cumsum().tolist(), strict=True))
            histogram.add_metric([route, str(status)], buckets, self._sums[route, status])
        return [histogram]


def version_families(versions: dict[str, Vitals]) -> Iterable[Metric]:
    """The versions that serve, since this process loaded them."""
    decisions = CounterMetricFamily("banditloop_decisions", "decisions of a policy version", labels=["version"])
    failures = CounterMetricFamily("banditloop_failures", "decisions that a version failed to take", labels=["version"])
    for version, vitals in versions.items():
        decisions.add_metric([version], vitals.decisions)
        failures.add_metric([version], vitals.failures)
    return decisions, failures


def outbox_family(waiting: dict[str, int]) -> Metric:
    """The bytes that wait for the bus, by topic."""
    bytes_waiting = GaugeMetricFamily(
        "banditloop_outbox_bytes", "bytes on disk that wait for the bus", labels=["topic"]
    )
    for topic, size in waiting.items():
        bytes_waiting.add_metric([topic], size)
    return bytes_waiting


def log_counts(platform: Platform) -> dict[str, dict[str, int]]:
    """What became of the events of either topic, exact over all processes and their deaths.

    received, of them duplicate; of rewards, late (after their decision's window) and dangling (without a decision);
    dead: messages, not events, that could not be read.
    """
    counts = platform.warehouse.counts()
    found = {
        topic: {
            "received": counts.received[topic],
            "duplicate": counts.duplicate[topic],
            "dead": len(platform.bus.dead_letters(topic)),
        }
        for topic in counts.received
    }
    found["rewards"] |= {"late": counts.late, "dangling": counts.dangling}
    return found


def serve_log_metrics(platform: Platform, host: str, port: int) -> None:
    """Tell Prometheus the log's counts, from a thread. They are looked up at every scrape."""

    def families() -> Iterable[Metric]:
        events = GaugeMetricFamily("banditloop_log_events", "what became of events", labels=["topic", "outcome"])
        for topic, outcomes in log_counts(platform).items():
            for outcome, many in outcomes.items():
                events.add_metric([topic, outcome], many)
        return [events]

    registry = CollectorRegistry()
    registry.register(Collected(families))
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        raise InvalidInput(f"backend.metrics_port = {port}: {error.strerror}") from None
