"""Appends to a log of half a million interactions beside a plain one, which reads all keys and drops known ones."""

import itertools
import tempfile
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.schema import LOGGED_AT, STORED_TABLES, TIME
from tests.benchmarks import log
from tests.benchmarks.filled import filled
from tests.benchmarks.ratio import Row, times_faster

ROWS, MESSAGE, APPENDS = 500_000, 200, 10


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = (connect(filled(Path(name) / root, ROWS)).warehouse for root in ("ours", "theirs"))
        path, numbers = theirs._root / STORED_TABLES["decisions"], itertools.count(ROWS, MESSAGE)

        def append() -> None:
            for _ in range(APPENDS):
                assert ours.append("decisions", log.decisions(next(numbers), MESSAGE)) == MESSAGE

        def plain() -> None:
            for _ in range(APPENDS):
                _append(path, log.decisions(next(numbers), MESSAGE))

        return [times_faster("data: an append to a log, beside reading all of its keys", append, plain, 2)]


def _append(path: Path, events: pa.Table) -> None:
    delta = DeltaTable(path)
    known = delta.to_pyarrow_table(columns=["event_id"])["event_id"]
    new = events.filter(pc.invert(pc.is_in(events["event_id"], known)))
    logged_at = pa.array([log.START + timedelta(days=2)] * new.num_rows, TIME)
    write_deltalake(delta, new.append_column(LOGGED_AT, logged_at), mode="append")
