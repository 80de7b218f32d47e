"""Progress of what is read or played: of the loop's log, of a log in files, of episodes."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.progress import Report, watched
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.holdout import Fold
from banditloop.rl_core.logs.batches import RawBatch
from banditloop.rl_core.logs.columns import Columns
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import Platform, Warehouse
from banditloop.rl_core.rollouts import Engine
from banditloop.rl_core.settings.task import Task

Result = TypeVar("Result")
TRAINING = "banditloop.rl_core.training.shards"  # name of its logger; importing it would import TensorFlow
FIRST = 64  # episodes that are played at a time at first; then more, as long as they take less than a second
SECONDS = 1.0


def watched_platform(platform: Platform, config: Config, report: Report) -> Platform:
    """The platform with a report of what is read of its log."""
    shares: dict[Fold | None, float] = {None: 1.0, "held_out": config.gate.holdout_fraction}
    log = _WatchedLog(platform.warehouse, shares | {"training": 1 - config.gate.holdout_fraction}, report)
    return platform.with_ports(warehouse=log)


class _WatchedLog:
    """A warehouse, with a report of the interactions that are read. shares: approximate fractions of all, by fold."""

    def __init__(self, warehouse: Warehouse, shares: dict[Fold | None, float], report: Report) -> None:
        self._warehouse, self._shares, self._report = warehouse, shares, report

    def __getattr__(self, name: str) -> Any:
        if name == "_warehouse":  # of a copy that has no attributes yet
            raise AttributeError(name)
        return getattr(self._warehouse, name)

    def reading(self, task: Task) -> "_WatchedLog":
        return _WatchedLog(self._warehouse.reading(task), self._shares, self._report)

    def interactions(self, window: Window, fold: Fold | None = None) -> Iterator[pa.RecordBatch]:
        return self._watched(self._warehouse.interactions(window, fold), window, fold)

    def transitions(self, window: Window, fold: Fold | None = None) -> Iterator[pa.RecordBatch]:
        return self._watched(self._warehouse.transitions(window, fold), window, fold)

    def _watched(
        self, batches: Iterator[pa.RecordBatch], window: Window, fold: Fold | None
    ) -> Iterator[pa.RecordBatch]:
        total = round(window.interactions * self._shares[fold])
        return watched(batches, self._report, "reading the log", total or None, "interactions")


def watched_batches(
    batches: Iterable[tuple[RawBatch, Columns]], report: Report, activity: str
) -> Iterator[tuple[RawBatch, Columns]]:
    """The batches of a log in files, with a report of how many rows have been read; of all rows, if they are a list."""
    total = sum(batch.table.num_rows for batch, _ in batches) if isinstance(batches, list) else None
    return watched(batches, report, activity, total, rows=lambda batch: batch[0].table.num_rows)


@contextlib.contextmanager
def watched_training(total: int, report: Report) -> Iterator[None]:
    """Report the rows that the training of the block logs as read, of so many in all."""
    report("training", 0, total, "rows")
    logger = logging.getLogger(TRAINING)
    level, rows = logger.level, _LoggedRows(logger.getEffectiveLevel(), total, report)
    logger.addFilter(rows)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeFilter(rows)
        logger.setLevel(level)


class _LoggedRows(logging.Filter):
    """Reports the numbers of rows in log records, and passes on only records that would be logged without it."""

    def __init__(self, level: int, total: int, report: Report) -> None:
        super().__init__()
        self._level, self._total, self._report = level, total, report

    def filter(self, record: logging.LogRecord) -> bool:
        """Report one number."""
        match record.args:
            case (int(rows),):
                self._report(f"training: {rows:,} rows", rows, self._total, "rows")
        return record.levelno >= self._level


class WatchedEngine:
    """An engine that plays some episodes at a time, and reports how many it has played."""

    def __init__(self, engine: Engine, activity: str, report: Report) -> None:
        self._engine, self._activity, self._report = engine, activity, report

    def play(self, part: Callable[[slice], Result], episodes: int) -> list[Result]:
        """See Engine."""
        results, done, size, clock = list[Result](), 0, FIRST, display.console.get_time
        self._report(self._activity, done, episodes, "episodes")
        while done < episodes:
            count, began = min(size, episodes - done), clock()
            results += self._engine.play(partial(_later, part, done), count)
            done += count
            self._report(self._activity, done, episodes, "episodes")
            size *= 2 if clock() - began < SECONDS else 1
        return results


def _later(part: Callable[[slice], Result], first: int, numbers: slice) -> Result:
    """The part whose episodes have numbers that are higher by `first`. (A function: it travels to other processes.)"""
    return part(slice(numbers.start + first, numbers.stop + first))
