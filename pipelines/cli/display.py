"""Output of the command line: tables for people, JSON for scripts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from banditloop.pipelines.cli.table import CONTROL_CHARACTERS, Row, cell, fitted, header

console = Console()
WIDE = 10_000  # characters; more than any table needs


def line(text: str) -> None:
    """Print a line, or several, without markup, wrapping or anything that could move the cursor."""
    typer.echo(CONTROL_CHARACTERS.sub("�", text))


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
