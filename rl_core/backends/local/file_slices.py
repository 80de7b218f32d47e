"""Limits of what is read of the log at a time, so that memory stays bounded."""

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime

from banditloop.rl_core.backends.local.table_snapshot import DataFile
from banditloop.rl_core.backends.local.views import values_per_row

BATCH_ROWS, BATCH_VALUES = 65_536, 10_000_000  # at most: 10 million numbers and texts take about 100 MB
SLICE_ROWS = 4_000_000  # decisions joined with their rewards: their keys fit in memory, so that nothing spills


def batch_rows(files: list[DataFile]) -> int:
    """The number of decisions to read at a time: fewer, the more values each has, as for many candidates."""
    values = max(values_per_row(file.path) for file in files)
    return max(1, min(BATCH_ROWS, int(BATCH_VALUES / values)))


def slices(
    files: list[DataFile], order: Callable[[DataFile], datetime] = lambda file: file.earliest, rows: int = SLICE_ROWS
) -> Iterator[list[DataFile]]:
    """Groups of files with about `rows` rows each, in the given order, by default that of their earliest timestamps."""
    ordered = sorted(files, key=order)
    ends = itertools.accumulate(file.rows for file in ordered)
    for _, group in itertools.groupby(zip(ends, ordered, strict=True), lambda pair: pair[0] // rows):
        yield [file for _, file in group]
