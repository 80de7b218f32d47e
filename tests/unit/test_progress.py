"""The progress of commands: rates and the time that is left, live on a terminal, else a line now and then."""

import io
import re

import pyarrow as pa
import pytest

from banditloop.pipelines.cli import display, progress
from banditloop.pipelines.cli.progress import watched
from tests.unit.test_display import TEXT

TABLES = [pa.table({"a": range(500)})] * 4
SUMMARY = {"versions": [{"version": "v1", "reason": TEXT}]}


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def move(self, seconds):
        self.now += seconds


@pytest.fixture(params=[False])
def screen(request, monkeypatch):
    """What is written to a console, a terminal or none, with a clock of its own."""
    clock, written = Clock(), io.StringIO()
    console = display.Console(file=written, width=100, force_terminal=request.param, get_time=clock)
    monkeypatch.setattr(display, "console", console)
    return clock, written


on_a_terminal = pytest.mark.parametrize("screen", [True], indirect=True)


def read(tables, report, clock, total=2000):
    for _ in watched(tables, report, "reading", total):
        clock.move(5)


def lines(written):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.getvalue()).replace("\r", "\n").splitlines()


@on_a_terminal
def test_a_terminal_shows_how_fast_it_goes_and_how_long_it_still_takes(screen):
    clock, written = screen
    with progress.progress(quiet=False) as report:
        read(TABLES[:3], report, clock)
    line = next(line for line in reversed(lines(written)) if "1,500 rows" in line)
    words = re.sub("[━╸╺]+", "", line).split()
    assert " ".join(words) == "reading: 1,500 rows 75% 100 rows/s 0:00:15 left 00:05"
    assert len(line) <= 100


@on_a_terminal
def test_without_a_total_there_is_a_rate_but_no_time_left(screen):
    clock, written = screen
    with progress.progress(quiet=False) as report:
        read(TABLES[:3], report, clock, total=None)
    assert "100 rows/s" in written.getvalue()
    assert "left" not in written.getvalue()


@on_a_terminal
def test_an_activity_without_a_number_has_only_its_time(screen):
    clock, written = screen
    with progress.progress(quiet=False) as report:
        read(TABLES[:3], report, clock)
        report("testing")
        clock.move(7)
    line = next(line for line in reversed(lines(written)) if "testing" in line)
    assert re.sub("[━╸╺]+", "", line).split() == ["testing", "0:00:07"]


def test_without_a_terminal_a_line_is_written_every_ten_seconds_on_standard_error(screen, capsys):
    clock, written = screen
    with progress.progress(quiet=False) as report:
        read(TABLES, report, clock)
    assert capsys.readouterr().err.splitlines() == [
        "reading: 1,000 rows · 100 rows/s · 10 s left",
        "reading: 2,000 rows · 100 rows/s",
    ]
    assert written.getvalue() == ""


def test_what_is_quiet_or_short_writes_nothing(screen, capsys):
    clock, written = screen
    with progress.progress(quiet=True) as report:
        read(TABLES, report, clock)
        report.table(SUMMARY)
    with progress.progress(quiet=False) as report:
        read(TABLES[:1], report, clock)
    assert (capsys.readouterr(), written.getvalue()) == (("", ""), "")


def test_another_activity_has_a_rate_and_time_of_its_own(screen, capsys):
    clock, _ = screen
    with progress.progress(quiet=False) as report:
        read(TABLES, report, clock)
        clock.move(1000)
        report("testing")
        assert capsys.readouterr().err.splitlines()[-1] == "testing"
        read(TABLES[:3], report, clock)
    assert capsys.readouterr().err.splitlines() == ["reading: 1,000 rows · 100 rows/s · 10 s left"]


@pytest.mark.parametrize("screen", [False, True], indirect=True)
def test_markup_in_progress_and_table_is_text(screen, capsys):
    clock, written = screen
    with progress.progress(quiet=False) as report:
        clock.move(20)
        report(f"tick failed: {TEXT}\x1b[2J")
        report.table(SUMMARY)
    assert TEXT in lines(written)[-1]  # the table stays
    shown = written.getvalue() if display.console.is_terminal else capsys.readouterr().err
    assert f"tick failed: {TEXT}�[2J" in shown
