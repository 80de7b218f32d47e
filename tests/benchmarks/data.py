"""The data path: interactions of 20 features into TFRecord files, beside one Example a row and writing the bytes alone.

One Example a row, made of Python lists, is how Google's sample writes its files.
"""

import tempfile
from pathlib import Path

import google_crc32c
import pyarrow as pa

from banditloop.rl_core.events.example_message import Example
from banditloop.rl_core.events.examples import write_examples
from banditloop.rl_core.events.tfrecords import read_records, write_records
from tests.benchmarks.ratio import Row, at_least, seconds, times_faster
from tests.conftest import random_interactions

ROWS, REPEATS = 50_000, 5
SAMPLE_COLUMNS = ("action", "propensity", "reward")  # and the context: all that the sample's files have


def rows() -> list[Row]:
    table = random_interactions(ROWS)
    batches = table.combine_chunks().to_batches()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "examples"

        def ours() -> None:
            write_examples(batches, folder)

        ours()
        content = b"".join(record for file in folder.glob("*.tfrecord") for record in read_records(file))
        return [
            times_faster("data: TFRecords beside one Example a row", ours, lambda: _by_row(table, Path(name)), 30),
            at_least(
                "data: TFRecords, of the rate of writing their bytes with a checksum",
                [seconds(lambda: _write(content, Path(name))) / seconds(ours) for _ in range(REPEATS)],
                "of the rate",
                0.3,
            ),
        ]


def _by_row(table: pa.Table, folder: Path) -> None:
    write_records(folder / "by_row", map(_example, table.select(["context", *SAMPLE_COLUMNS]).to_pylist()))


def _example(row: dict[str, object]) -> bytes:
    features = {name: {"float_list": {"value": [float(row[name])]}} for name in SAMPLE_COLUMNS}  # type: ignore[arg-type]
    features["observation"] = {"float_list": {"value": next(iter(row["context"].values()))}}  # type: ignore[attr-defined]
    return Example(features={"feature": features}).SerializeToString()


def _write(content: bytes, folder: Path) -> None:
    (folder / "bytes").write_bytes(content + google_crc32c.value(content).to_bytes(4, "little"))
