"""What a process tells Prometheus."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from rl_core.backends import Vitals

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Collected:
    """Metrics that are asked for at every scrape."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self.collect = families


class RequestMetrics:
    """Requests of a server, by route and status, and how long they took; and whatever else `families` tell."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(Collected(families))
        self._known: dict[tuple[str, int], Histogram] = {}
        self._seconds = Histogram(
            "banditloop_request_seconds",
            "from a request's head to its answer",
            ["route", "status"],
            buckets=SECONDS,
            registry=self._registry,
        )

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        key = route, status
        if key not in self._known:
            self._known[key] = self._seconds.labels(route, status)  # which takes as long as to observe
        self._known[key].observe(seconds)

    def text(self) -> bytes:
        """All of them, in the text format."""
        return generate_latest(self._registry)


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
