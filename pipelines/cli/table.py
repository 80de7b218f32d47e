"""Tables that fit the terminal: no word is cut in half, no row is longer than three lines."""

import re
from typing import Any, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from banditloop.rl_core.errors import brief

Row = dict[str, Any]
HEADERS = {"traffic_percent": "traffic %", "challenger_percent": "challenger %", "seconds": "took"}
TIMES = {"at", "made", "promoted", "started", "ended", "since", "until", "next_run"}  # columns of ISO 8601 times
GAP = 2  # characters between two columns
MAX_LINES = 3  # of a row
MAX_UNBROKEN = 32  # characters of a word, not of a path, that is never broken over two lines
MAX_PATH = 64  # characters of a longer word that is not broken either, where there is room
TEXT_WIDTH = 16  # characters that a column of longer texts has at least
MAX_CELL = 2_000  # characters of a cell
CONTROL_CHARACTERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # but newlines; they could move the cursor


class Column(NamedTuple):
    """A column of a table, as it is shown."""

    header: str
    cells: list[str]
    numeric: bool

    def natural(self) -> int:
        """The width at which nothing is wrapped."""
        return max(_longest_line(text) for text in (self.header, *self.cells))

    def least(self, unbroken: int) -> int:
        """The smallest width: words of up to `unbroken` characters stay whole, and texts readable."""
        words = max((cell_len(word) for text in (self.header, *self.cells) for word in text.split()), default=0)
        texts = min(TEXT_WIDTH, max(map(_longest_line, self.cells)))
        return max(min(words, unbroken), texts)


def fitted(title: str, rows: list[Row], width: int | None) -> Group:
    """A title and a table of rows of equal keys.

    Columns that do not fit the width are left out from the last one, and named below. Without a width, nothing is left
    out or wrapped.
    """
    if not rows:
        return Group(Text(f"{title}: none"))
    columns = [_column(name, [row[name] for row in rows]) for name in rows[0]]
    widths = _widths(columns, width) if width else [column.natural() for column in columns]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for column, wide in zip(columns, widths, strict=False):
        table.add_column(Text(column.header), justify="right" if column.numeric else "left", width=wide)
    for number in range(len(rows)):
        table.add_row(
            *(_lines(column.cells[number], wide, width) for column, wide in zip(columns, widths, strict=False))
        )
    left_out = ", ".join(column.header for column in columns[len(widths) :])
    return Group(Text(title, style="italic"), table, *([Text(f"no room for: {left_out}")] if left_out else []))


def cell(value: Any, name: str = "") -> str:
    """A value of the column `name` as a text."""
    if value is None or value == "":
        return "–"
    if name in TIMES:
        return f"{value}"[:16].replace("T", " ")
    if name == "seconds":
        return duration(value)
    if isinstance(value, bool | str):
        return CONTROL_CHARACTERS.sub("�", str(value)[:MAX_CELL])
    if isinstance(value, dict | list):
        return CONTROL_CHARACTERS.sub("�", brief(value, MAX_CELL))
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}"


def header(name: str) -> str:
    """The title of the column `name`."""
    text = f"{name.replace('_', ' ')} (UTC)" if name in TIMES else HEADERS.get(name, name.replace("_", " "))
    return CONTROL_CHARACTERS.sub("�", text)


def duration(seconds: float) -> str:
    """A duration, "5 s", "2 min 05 s" or "3 h 02 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _column(name: str, values: list[Any]) -> Column:
    numeric = all(value is None or isinstance(value, int | float) for value in values)
    return Column(header(name), [cell(value, name) for value in values], numeric)


def _widths(columns: list[Column], width: int) -> list[int]:
    """The widths of as many of the first columns as fit. Spare room goes first to those that need the least more."""
    least = [column.least(MAX_PATH) for column in columns]
    if _total(least) > width:
        least = [column.least(MAX_UNBROKEN) for column in columns]
    while len(least) > 1 and _total(least) > width:
        least.pop()
    wanted = [column.natural() - narrow for column, narrow in zip(columns, least, strict=False)]
    room = max(0, width - _total(least))
    order = sorted(range(len(least)), key=wanted.__getitem__)
    for done, position in enumerate(order):
        extra = min(wanted[position], room // (len(order) - done))
        least[position], room = least[position] + extra, room - extra
    return [min(wide, width) for wide in least]


def _total(widths: list[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _lines(text: str, wide: int, width: int | None) -> Text:
    """A cell wrapped at words, and cut off after MAX_LINES with an ellipsis."""
    if width is None:
        return Text(text)
    lines = [line.plain.rstrip() for line in Text(text).wrap(Console(width=wide), wide)]
    if len(lines) > MAX_LINES:
        last = lines[MAX_LINES - 1]
        lines = [*lines[: MAX_LINES - 1], f"{last if cell_len(last) < wide - 1 else last.rpartition(' ')[0]} …".strip()]
    return Text("\n".join(lines))


def _longest_line(text: str) -> int:
    return max(map(cell_len, text.split("\n")))
