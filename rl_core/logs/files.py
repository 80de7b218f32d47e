"""Reading of files in batches, whatever their size: CSV, Parquet and JSON lines."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from banditloop.rl_core.errors import InvalidInput, brief
from banditloop.rl_core.logs import nested
from banditloop.rl_core.logs.batches import BATCH_ROWS, RawBatch

SEPARATORS = ",;\t|"
MISSING = ["", "NaN", "nan", "null", "NULL"]  # in CSV


def read_csv(path: Path) -> Iterator[RawBatch]:
    """The rows of a CSV file, with all values as texts: the task decides whether 007 is a number.

    Columns of JSON objects become columns named a.b.
    """
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    separator = max(SEPARATORS, key=header.count)
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    with pa.csv.open_csv(path, parse_options=parse) as reader:
        names = reader.schema.names
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), null_values=MISSING, strings_can_be_null=True
    )
    with pa.csv.open_csv(path, parse_options=parse, convert_options=convert) as reader:
        yield from _numbered(path, (nested.objects_as_columns(pa.table(batch)) for batch in reader))


def read_parquet(path: Path) -> Iterator[RawBatch]:
    """The rows of a Parquet file; fields of its structs and keys of its maps are columns named a.b."""
    with pa.parquet.ParquetFile(path) as file:
        yield from _numbered(path, (nested.flat(pa.table(batch)) for batch in file.iter_batches(BATCH_ROWS)))


def read_jsonl(path: Path) -> Iterator[RawBatch]:
    """The objects of a file with one per line; objects in them become columns named a.b."""
    for numbers, rows in json_lines(path):
        flattened = [nested.flatten(row) for row in rows]
        yield RawBatch(path, numbers, nested.table_of(flattened), "line")


def json_lines(path: Path) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """Batches of the objects of a file with one per line, with the numbers of their lines; empty lines are left out.

    Raises:
        InvalidInput: a line is no JSON object.
    """
    with path.open("rb") as file:
        lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
        while batch := list(islice(lines, BATCH_ROWS)):
            yield [number for number, _ in batch], [_object(path, *pair) for pair in batch]


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}, line {number}: is no JSON: {error}") from None
    if not isinstance(row, dict):
        raise InvalidInput(f"{path}, line {number}: {brief(row, 40)} is no JSON object")
    return row


def _numbered(path: Path, tables: Iterator[pa.Table]) -> Iterator[RawBatch]:
    """Batches of at most BATCH_ROWS rows with their numbers."""
    first = 1
    for table in tables:
        repeated = [name for name in table.column_names if table.column_names.count(name) > 1]
        if repeated:
            raise InvalidInput(f"{path}: has several columns {repeated[0]!r}")
        for start in range(0, table.num_rows, BATCH_ROWS):
            part = table.slice(start, BATCH_ROWS)
            yield RawBatch(path, range(first, first + part.num_rows), part)
            first += part.num_rows
