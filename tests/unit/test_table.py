"""Tables on narrow terminals: every line fits, no word is cut, no row is longer than three lines."""

import random

import pytest
from rich.cells import cell_len
from rich.console import Console

from banditloop.pipelines.cli.table import MAX_LINES, MAX_UNBROKEN, duration, fitted

WORDS = [
    "a",
    "café",
    "版本",
    "interactions",
    "v12-0a1b2c3d",
    "retraining-v12-0a1b2c3d-1",
    "/an/absolute/path/to/it",
]


def shown(title, rows, width):
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(fitted(title, rows, width))
    return capture.get().splitlines()


@pytest.mark.parametrize("seed", range(40))
def test_any_table_fits_any_width_without_cutting_words(seed):
    draw = random.Random(seed)
    names = ["version", "reason", "mean_reward", "agent", "traffic_percent", "where"][: draw.randint(1, 6)]
    rows = [
        {name: " ".join(draw.choices(WORDS, k=draw.choice((0, 1, 2, 30)))) for name in names}
        for _ in range(draw.randint(1, 5))
    ]
    width = draw.choice((60, 80, 120))
    lines = shown("a title", rows, width)
    known = {word for row in rows for text in row.values() for word in text.split()} | {"…", "–"}
    body = lines[1 + next(number for number, line in enumerate(lines) if line.startswith("─")) :]
    body = [line for line in body if not line.startswith("no room for: ")]
    assert all(cell_len(line.rstrip()) <= width for line in lines)
    assert {word for line in body for word in line.split()} <= known
    assert len(body) <= MAX_LINES * len(rows)


def test_columns_without_room_are_named_and_the_first_ones_stay():
    rows = [
        {
            "version": "v1-0a1b2c3d",
            "status": "champion",
            "reason": "of many words " * 9,
            "run": "retraining-v12-0a1b2c3d-1",
        }
    ]
    lines = shown("versions", rows, 60)
    assert lines[-1] == "no room for: run"
    assert "v1-0a1b2c3d" in lines[3]
    assert lines[-2].rstrip().endswith("…")
    assert any("retraining-v12-0a1b2c3d-1" in line for line in shown("versions", rows, 100))


def test_longer_words_than_any_column_are_broken():
    [line, rest] = shown("t", [{"key": "x" * (MAX_UNBROKEN + 10)}], MAX_UNBROKEN)[3:]
    assert (line, rest.rstrip()) == ("x" * MAX_UNBROKEN, "x" * 10)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (7260, "2 h 01 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
