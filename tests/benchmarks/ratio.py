"""The rows of a benchmark: values of repeated measurements against a target."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Median (or the worst), minimum and maximum of repeated measurements, and the bound that it should keep."""

    name: str
    value: float
    unit: str
    min: float
    max: float
    target: float
    holds: bool


def times_faster(
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    target: float,
    work: float = 1.0,
    repeats: int = 5,
) -> Row:
    """How many times faster `ours` is, given that it does `work` times as much. Calls alternate."""
    ours(), theirs()  # warm
    return at_least(name, [work * seconds(theirs) / seconds(ours) for _ in range(repeats)], "times faster", target)


def at_least(name: str, values: list[float], unit: str, target: float, worst: bool = False) -> Row:
    """A row whose median keeps a lower bound, or whose worst value does."""
    kept = min(values) if worst else statistics.median(values)
    return Row(name, kept, unit, min(values), max(values), target, bool(kept >= target))


def at_most(name: str, values: list[float], unit: str, target: float, worst: bool = False) -> Row:
    """A row whose median keeps an upper bound, or whose worst value does."""
    kept = max(values) if worst else statistics.median(values)
    return Row(name, kept, unit, min(values), max(values), target, bool(kept <= target))


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def processor_seconds(call: Callable[[], object]) -> float:
    """Of all threads: what a short call takes, whatever else runs on the machine."""
    start = time.process_time()
    call()
    return time.process_time() - start
