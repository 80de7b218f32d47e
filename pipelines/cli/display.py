"""Output of the command line: tables and progress for people, JSON for scripts."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from banditloop.pipelines.cli.table import CONTROL_CHARACTERS, Row, cell, fitted, header

console = Console()
HIDDEN = "traffic_percent", "made", "promoted"  # columns while a loop runs
BASELINES = ("uniform", "best_fixed", "oracle")
WIDE = 10_000  # characters; more than any table needs


def line(text: str) -> None:
    """Print a line, or several, without markup, wrapping or anything that could move the cursor."""
    console.print(CONTROL_CHARACTERS.sub("�", text), markup=False, highlight=False, soft_wrap=True)


def json_or_text(content: Any, as_json: bool, text: str) -> None:
    """Print the content as JSON, or the text."""
    json_or_call(content, as_json, lambda: line(text))


def json_or_call(content: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print the content as JSON, or let `show` print it."""
    line(json.dumps(content, indent=2)) if as_json else show()


def paths(files: list[Path], as_json: bool) -> None:
    """Print the files that were written."""
    json_or_text([str(path) for path in files], as_json, "\n".join(f"wrote {path}" for path in files))


def table(title: str, rows: list[Row], as_json: bool = False, wide: bool = False) -> None:
    """Print rows of equal keys: as a table, as wide as the terminal unless `wide`, or as JSON."""
    terminal = Console(width=WIDE) if wide else console
    json_or_call(rows, as_json, lambda: terminal.print(fitted(title, rows, None if wide else console.width)))


def key_values(title: str, content: dict[str, Any], as_json: bool) -> None:
    """Print a mapping: as a table of two columns, with the keys of its mappings as key.inner, or as JSON."""
    flat = {key: value for key, value in content.items() if not isinstance(value, dict)}
    for key, value in content.items():
        flat |= {f"{key}.{inner}": part for inner, part in value.items()} if isinstance(value, dict) else {}
    rows = [{"key": header(key), "value": cell(value, key.rpartition(".")[2])} for key, value in flat.items()]
    json_or_call(content, as_json, lambda: table(title, rows))


class Report:
    """A progress line below a table that is updated in place."""

    def __init__(self, live: Live | None) -> None:
        self._live = live
        self._progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._progress.add_task("starting", total=1)
        self._table: Group | None = None

    def __call__(self, activity: str, fraction: float | None) -> None:
        """Show the current activity and the fraction of it that is done, 0 to 1, or None if unknown."""
        total = None if fraction is None else 1
        self._progress.update(self._task, description=activity, completed=fraction or 0, total=total)
        self._refresh()

    def table(self, summary: dict[str, Any]) -> None:
        """Show the versions of a loop's summary in 80 columns, with the baselines as title where it has them."""
        known = [name for name in BASELINES if name in summary]
        title = "  ".join(f"{name.replace('_', ' ')} {summary[name]:.3f}" for name in known) or "versions"
        versions = [{key: row[key] for key in row if key not in HIDDEN} for row in summary["versions"]]
        self._table = fitted(title, versions, console.width)
        self._refresh()

    def _refresh(self) -> None:
        if self._live:
            self._live.update(Group(self._table or "", self._progress))


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Report]:
    """A report that is shown live unless quiet."""
    if quiet:
        yield Report(None)
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield Report(live)
    if not console.is_terminal:
        console.print()  # the newline that Live omits there
