"""The data path: interactions of 20 numbers into files of examples and back, beside other ways of the same work.

One Example a row, made of Python lists, is how Google's sample writes its files; here with all the features of ours.
"""

import tempfile
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow as pa

from banditloop.rl_core.events.example_message import Example
from banditloop.rl_core.events.examples import example_files, read_examples, write_examples
from banditloop.rl_core.events.tfrecords import read_records, write_records
from tests.benchmarks import append, generate, ingest, learn_files
from tests.benchmarks.parsed import parsed
from tests.benchmarks.ratio import Row, at_least, seconds, times_faster
from tests.conftest import random_interactions, vector_task

ROWS, REPEATS = 50_000, 5


def rows() -> list[Row]:
    parts = (generate, append, ingest, learn_files)
    return [*_files(), *(row for part in parts for row in part.rows())]


def _files() -> list[Row]:
    table = random_interactions(ROWS)
    batches = table.combine_chunks().to_batches()
    with tempfile.TemporaryDirectory() as name:
        root, folder, arrow = (Path(name) / path for path in ("", "tfrecord", "arrow"))

        def ours() -> None:
            write_examples(batches, folder)

        ours()
        files = example_files(folder)
        content = b"".join(record for file in files for record in read_records(file))
        return [
            times_faster("data: TFRecords beside one Example a row", ours, lambda: _by_row(table, root), 30),
            _rate(
                "data: TFRecords, of the rate of writing their bytes with a checksum",
                ours,
                lambda: _write(content, root),
                0.3,
            ),
            _rate(
                "data: Arrow files, of the rate of a plain IPC write of the same rows",
                lambda: write_examples(batches, arrow, "arrow"),
                lambda: _write_ipc(table, root),
                0.5,
            ),
            _rate(
                "data: reading TFRecords, of the rate of tf.data with vectorised parsing",
                lambda: list(read_examples(files, vector_task())),
                lambda: parsed(files),
                0.3,
            ),
        ]


def _rate(name: str, ours: Any, theirs: Any, target: float) -> Row:
    ours(), theirs()  # warm
    return at_least(name, [seconds(theirs) / seconds(ours) for _ in range(REPEATS)], "of the rate", target)


def _by_row(table: pa.Table, folder: Path) -> None:
    write_records(folder / "by_row", map(_example, table.to_pylist()))


def _example(row: dict[str, Any]) -> bytes:
    """The Example of a row, with the features that ours have."""
    context = {f"context.{name}": values for name, values in row.pop("context").items()}
    features = {name: _feature(value) for name, value in (row | context).items()}
    return Example(features={"feature": features}).SerializeToString()


def _feature(value: Any) -> dict[str, Any]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    if all(isinstance(one, float) for one in values):
        return {"float_list": {"value": values}}
    if all(isinstance(one, str) for one in values):
        return {"bytes_list": {"value": [text.encode() for text in values]}}
    numbers = [one if isinstance(one, int) else int(one.timestamp() * 1e6) for one in values]
    return {"int64_list": {"value": numbers}}


def _write(content: bytes, folder: Path) -> None:
    (folder / "bytes").write_bytes(content + google_crc32c.value(content).to_bytes(4, "little"))


def _write_ipc(table: pa.Table, folder: Path) -> None:
    with pa.OSFile(str(folder / "plain"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
