"""Progress of a command: what it does, how fast, and how long it still takes."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, TypeVar

from rich.console import Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.table import CONTROL_CHARACTERS, duration, fitted

HIDDEN = "traffic_percent", "made", "promoted"  # columns while a loop runs
BASELINES = ("uniform", "best_fixed", "oracle")
PLAIN_SECONDS = 10.0  # between two lines where there is no terminal
BAR_WIDTH = 20
Item = TypeVar("Item")


class Rate(ProgressColumn):
    """Column of the rate, in the unit per second; empty while that is unknown."""

    def render(self, task: Task) -> Text:
        """The rate, as "8,100 rows/s"."""
        return Text(_rate(task), style="progress.data.speed")


class Report:
    """A progress line below a table that is updated in place or, without a terminal, a line now and then."""

    def __init__(self, live: Live | None, plain: bool = False) -> None:
        self._live, self._told = live, display.console.get_time() if plain else None
        description = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1))
        times = TimeElapsedColumn(), TextColumn("{task.fields[left]}"), TimeRemainingColumn(compact=True)
        self._progress = Progress(
            description,
            BarColumn(BAR_WIDTH),
            TaskProgressColumn(),
            Rate(),
            *times,
            console=display.console,
            expand=True,
        )
        self._task = self._new_task(None, "")
        self.shown: Group | None = None  # the table

    def __call__(self, activity: str, done: float | None = None, total: float | None = None, unit: str = "") -> None:
        """Show the activity, and how many of `total` are done, in this unit: None where that is unknown.

        What is done is counted anew if it has another total or unit, or is less than before.
        """
        task = self._progress.tasks[0]
        if (total, unit) != (task.total, task.fields["unit"]) or (done or 0) < task.completed:
            self._progress.remove_task(self._task)
            self._task = self._new_task(total, unit)
        self._progress.update(self._task, description=CONTROL_CHARACTERS.sub("�", activity), completed=done or 0)
        self._refresh()

    def _new_task(self, total: float | None, unit: str) -> TaskID:
        return self._progress.add_task("starting", total=total, unit=unit, left="left" if total else "")

    def table(self, summary: dict[str, Any]) -> None:
        """Show the versions of a loop's summary in 80 columns, with the baselines as title where it has them."""
        known = [name for name in BASELINES if name in summary]
        title = "  ".join(f"{name.replace('_', ' ')} {summary[name]:.3f}" for name in known) or "versions"
        versions = [{key: row[key] for key in row if key not in HIDDEN} for row in summary["versions"]]
        self.shown = fitted(title, versions, display.console.width)
        self._refresh()

    def _refresh(self) -> None:
        if self._live:
            self._live.update(Group(self.shown or "", self._progress))
        elif self._told is not None and display.console.get_time() >= self._told + PLAIN_SECONDS:
            self._told = display.console.get_time()
            print(_line(self._progress.tasks[0]), file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Report]:
    """A report that is shown live unless quiet; without a terminal, on standard error and rarely.

    At the end the progress disappears, and the table stays.
    """
    if not quiet and display.console.is_terminal:
        with Live(console=display.console, refresh_per_second=8, transient=True) as live:
            yield (report := Report(live))
    else:
        yield (report := Report(None, plain=not quiet))
    if report.shown and not quiet:
        display.console.print(report.shown)


@contextlib.contextmanager
def doing(activity: str, quiet: bool) -> Iterator[None]:
    """Show that a command does something of which only the time so far is known."""
    with progress(quiet) as report:
        report(activity)
        yield


def watched(
    items: Iterable[Item],
    report: Report,
    activity: str,
    total: float | None = None,
    unit: str = "rows",
    rows: Callable[[Item], int] = attrgetter("num_rows"),
) -> Iterator[Item]:
    """The items, with a report of how many rows have been read; rows: the number of rows of an item."""
    done = 0
    report(activity, done, total, unit)
    for item in items:
        yield item
        done += rows(item)
        report(f"{activity}: {done:,} {unit}", done, total, unit)


def _rate(task: Task) -> str:
    speed, unit = task.finished_speed or task.speed, task.fields["unit"]
    return f"{speed:,.{0 if speed >= 10 else 1}f} {unit}/s" if speed and unit else ""


def _line(task: Task) -> str:
    """The progress without a terminal, as "importing: 80,000 rows · 8,100 rows/s · 25 s left"."""
    left = f"{duration(task.time_remaining)} left" if task.total and task.time_remaining else ""
    return " · ".join(filter(None, [task.description, _rate(task), left]))
