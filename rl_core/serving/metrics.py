"""Prometheus metrics of the predictor and of the logger."""

from collections.abc import Callable, Iterable

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from banditloop.rl_core.ports import Platform, Vitals

BUCKET_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
OUTCOMES = {
    "decisions": ("shown", "shadow", "inactive"),
    "rewards": ("joined", "late", "early", "unnamed", "dangling"),
}
MAX_PENDING = 1000  # durations of a route and status before they are added to the buckets


class MetricsCollector:
    """A collector of prometheus_client that calls `families` at every scrape."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self.collect = families


class RequestMetrics:
    """A histogram of request durations by route and status, exposed together with the metrics of `families`.

    Durations are added to the buckets in batches: a request costs a tenth of what prometheus_client's histogram takes.
    """

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(MetricsCollector(families))
        self._registry.register(MetricsCollector(self._histogram))
        self._pending: dict[tuple[str, int], list[float]] = {}
        self._counts: dict[tuple[str, int], np.ndarray] = {}  # by bucket
        self._sums: dict[tuple[str, int], float] = {}

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Record the duration of a request."""
        pending = self._pending.setdefault((route, status), [])
        pending.append(seconds)
        if len(pending) >= MAX_PENDING:
            self._fill_buckets()

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def _fill_buckets(self) -> None:
        for key, seconds in self._pending.items():
            counts = np.bincount(np.searchsorted(BUCKET_SECONDS, seconds), minlength=len(BUCKET_SECONDS) + 1)
            self._counts[key] = self._counts.get(key, 0) + counts
            self._sums[key] = self._sums.get(key, 0.0) + sum(seconds)
        self._pending.clear()

    def _histogram(self) -> Iterable[Metric]:
        self._fill_buckets()
        description = "seconds from the head of a request to its response"
        histogram = HistogramMetricFamily("banditloop_request_seconds", description, labels=["route", "status"])
        for (route, status), counts in self._counts.items():
            bounds = [*map(str, BUCKET_SECONDS), "+Inf"]
            buckets = list(zip(bounds, counts.cumsum().tolist(), strict=True))
            histogram.add_metric([route, str(status)], buckets, self._sums[route, status])
        return [histogram]


def version_families(versions: dict[str, Vitals]) -> Iterable[Metric]:
    """Counters of the decisions and failures of each loaded version, since this process loaded it."""
    decisions = CounterMetricFamily("banditloop_decisions", "decisions of a policy version", labels=["version"])
    failures = CounterMetricFamily("banditloop_failures", "failed decisions of a policy version", labels=["version"])
    for version, vitals in versions.items():
        decisions.add_metric([version], vitals.decisions)
        failures.add_metric([version], vitals.failures)
    return decisions, failures


def outbox_family(pending: dict[str, int]) -> Metric:
    """A gauge of the unpublished bytes of each topic's outbox."""
    gauge = GaugeMetricFamily("banditloop_outbox_bytes", "bytes on disk not yet published to the bus", labels=["topic"])
    for topic, size in pending.items():
        gauge.add_metric([topic], size)
    return gauge


def log_counts(platform: Platform) -> dict[str, dict[str, int]]:
    """Events of each topic by outcome, as LogCounts describes them, exact across all processes and crashes.

    The other outcomes add up to `received`, but for `dead`: messages, not events, that could not be logged.
    """
    counts = platform.warehouse.event_counts()
    return {
        topic: {
            "received": counts.received[topic],
            "duplicate": counts.duplicate[topic],
            **{name: getattr(counts, name) for name in names},
            "dead": len(platform.bus.dead_letters(topic)),
        }
        for topic, names in OUTCOMES.items()
    }


def log_family(platform: Platform) -> Metric:
    """A gauge of the log's counts, which are queried."""
    gauge = GaugeMetricFamily("banditloop_log_events", "logged events by outcome", labels=["topic", "outcome"])
    for topic, outcomes in log_counts(platform).items():
        for outcome, count in outcomes.items():
            gauge.add_metric([topic, outcome], count)
    return gauge
