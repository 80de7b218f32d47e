"""What the command line shows: tables and progress for people, JSON for scripts."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console()


def say(text: str) -> None:
    """One line, as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def show(content: Any, as_json: bool, text: str) -> None:
    """The content for scripts, or the text for people."""
    say(json.dumps(content, indent=2) if as_json else text)


def paths(written: list[Path], as_json: bool) -> None:
    """Files that were written."""
    show([str(path) for path in written], as_json, "\n".join(f"wrote {path}" for path in written))


def rows(title: str, content: list[dict[str, Any]], as_json: bool) -> None:
    """A list of alike mappings."""
    if as_json:
        show(content, True, "")
    else:
        console.print(_table(title, content))


def mapping(title: str, content: dict[str, Any], as_json: bool) -> None:
    """Keys and values."""
    rows(title, [{"key": k, "value": v} for k, v in content.items()], False) if not as_json else show(content, True, "")


def status(content: dict[str, Any], as_json: bool) -> None:
    """What pipelines.status tells."""
    if as_json:
        return show(content, True, "")
    console.print(_table(f"endpoint {content['endpoint']}", content["versions"]))
    say(f"answers now: {', '.join(content['serving']) or 'nothing; start `banditloop serve`'}")
    say(f"waiting to be learned from: {content['waiting']} interactions of {content['needed']}")
    if content["runs"]:
        console.print(_table("runs", content["runs"][-10:]))
    for topic, outcomes in content["log"].items():
        counts = ", ".join(f"{many:,} {outcome}" for outcome, many in outcomes.items() if many)
        say(f"{topic} logged: {counts or 'none'}")


class Report:
    """A progress line, and above it a table that grows."""

    def __init__(self, live: Live | None) -> None:
        self._live = live
        self._progress = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console)
        self._task = self._progress.add_task("starting", total=1)
        self._table: Table | None = None

    def __call__(self, what: str, done: float | None) -> None:
        """Say what goes on, and how much of it is done: 0 to 1, or None where nobody knows."""
        self._progress.update(self._task, description=what, completed=done or 0, total=None if done is None else 1)
        self._refresh()

    def table(self, summary: dict[str, Any]) -> None:
        """Show a loop's summary."""
        known = ("uniform", "best_fixed", "oracle")
        title = "  ".join(f"{name.replace('_', ' ')} {summary[name]:.3f}" for name in known)
        self._table = _table(title, summary["versions"])
        self._refresh()

    def _refresh(self) -> None:
        if self._live:
            self._live.update(Group(self._table or "", self._progress))


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Report]:
    """A report that shows itself live unless quiet."""
    if quiet:
        yield Report(None)
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield Report(live)
    if not console.is_terminal:
        console.print()  # what Live leaves to the terminal


def _table(title: str, content: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in content[0] if content else ["nothing yet"]:
        numeric = bool(content) and not isinstance(content[-1][name], str | dict | list)
        table.add_column(name.replace("_", " "), justify="right" if numeric else "left", no_wrap=name == "version")
    for row in content:
        table.add_row(*map(_cell, row.values()))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
