"""Prometheus metrics of the predictor and of the logger."""

from bisect import bisect_left
from collections.abc import Callable, Iterable

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from banditloop.rl_core.ports import Platform, Vitals
from banditloop.rl_core.serving.log_counts import log_counts
from banditloop.rl_core.serving.worker_counts import STOPPED, WorkerCounts

BUCKET_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
REQUEST, SECONDS = "request", len(BUCKET_SECONDS) + 1  # kind of row, and the sum's position in it, after the buckets


class MetricsCollector:
    """A collector of prometheus_client that calls `families` at every scrape."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self.collect = families


class RequestMetrics:
    """A histogram of request durations by route and status, exposed together with the metrics of `families`.

    A duration is added to a row of `counts`: a request costs a tenth of what prometheus_client's histogram takes.
    """

    def __init__(self, families: Callable[[], Iterable[Metric]], counts: WorkerCounts) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(MetricsCollector(families))
        self._registry.register(MetricsCollector(self._request_families))
        self._counts = counts
        self._rows: dict[tuple[str, int], np.ndarray] = {}  # counts by bucket, and the sum of seconds

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Record the duration of a request."""
        row = self._rows.get((route, status))
        if row is None:
            row = self._rows[route, status] = self._counts.row(REQUEST, f"{status} {route}")
        row[bisect_left(BUCKET_SECONDS, seconds)] += 1
        row[SECONDS] += seconds

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def _request_families(self) -> Iterable[Metric]:
        description = "seconds from the head of a request to its response"
        histogram = HistogramMetricFamily("banditloop_request_seconds", description, labels=["route", "status"])
        requests = [0] * len(self._counts.states())
        for name, by_worker in self._counts.by_name(REQUEST).items():
            status, route = name.split(" ", 1)
            values = np.sum(list(by_worker.values()), axis=0)
            bounds = [*map(str, BUCKET_SECONDS), "+Inf"]
            buckets = list(zip(bounds, values[:SECONDS].cumsum().tolist(), strict=True))
            histogram.add_metric([route, status], buckets, values[SECONDS])
            for worker, own in by_worker.items():
                requests[worker] += int(own[:SECONDS].sum())
        return [histogram, *_worker_families(requests, self._counts.states())]


def _worker_families(requests: list[int], states: list[int]) -> Iterable[Metric]:
    """The requests of each worker, and a gauge of those that answer."""
    counter = CounterMetricFamily("banditloop_worker_requests", "requests that a worker answered", labels=["worker"])
    for worker, count in enumerate(requests):
        counter.add_metric([str(worker)], count)
    running = sum(state != STOPPED for state in states)
    return counter, GaugeMetricFamily("banditloop_workers", "workers of the predictor that answer", running)


def version_families(versions: dict[str, Vitals]) -> Iterable[Metric]:
    """Counters of the decisions and failures of each loaded version, since the predictor loaded it."""
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


def log_family(platform: Platform) -> Metric:
    """A gauge of the log's counts, which are queried."""
    gauge = GaugeMetricFamily("banditloop_log_events", "logged events by outcome", labels=["topic", "outcome"])
    for topic, outcomes in log_counts(platform).items():
        for outcome, count in outcomes.items():
            gauge.add_metric([topic, outcome], count)
    return gauge
