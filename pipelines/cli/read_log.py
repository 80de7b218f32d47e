"""Reading of a log of decisions with their rewards, as another system wrote it: CSV, Parquet or JSON lines."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.logs.names import bare_name
from banditloop.rl_core.logs.nested import flat, objects_as_columns

SEPARATORS = ",;\t|"


def read_log(path: Path) -> pa.Table:
    """The rows of a .csv, .parquet or .jsonl file; texts of CSV that are JSON lists become lists.

    Fields of structs, keys of maps and those of JSON objects are columns named a.b, as they are where a log is read.

    Raises:
        InvalidInput: it cannot be read, is of another kind, or has no rows.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(f"--from {path}: give a file of: {', '.join(READERS)}")
    try:
        table = reader(path)
    except OSError as error:
        raise InvalidInput(f"--from {path}: {error.strerror or error}") from None
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InvalidInput(f"--from {path}: {error}") from None
    if not table.num_rows:
        raise InvalidInput(f"--from {path}: has no rows")
    table = objects_as_columns(flat(table))
    return pa.table([_plain(column) for column in table.columns], table.column_names)


def choose_column(columns: Sequence[str], given: str, names: Sequence[str], option: str) -> str:
    """The given column or, without one, the only column with one of these names; the first name takes precedence.

    Raises:
        InvalidInput: there is none, or there are several; lists the columns, to be given with the option.
    """
    listed = f"give one of the log's columns: {', '.join(columns)}"
    if given:
        if given not in columns:
            raise InvalidInput(f"{option} {given!r}: {listed}")
        return given
    matching = [column for column in columns if bare_name(column) in names]
    matching = [column for column in matching if bare_name(column) == names[0]] or matching
    if len(matching) != 1:
        reason = f"{' and '.join(matching)} could be meant" if matching else "no column has a usual name"
        raise InvalidInput(f"{option}: {reason}; {listed}")
    return matching[0]


def _read_csv(path: Path) -> pa.Table:
    with path.open(encoding="utf-8") as file:
        header = file.readline()
    return pa.csv.read_csv(
        path,
        parse_options=pa.csv.ParseOptions(delimiter=max(SEPARATORS, key=header.count), newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(strings_can_be_null=True, true_values=TRUE, false_values=FALSE),
    )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """A column of texts, numbers or lists, however it is stored; empty texts and NaN are missing, as in CSV."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64())
    if pa.types.is_large_string(column.type):
        column = column.cast(pa.string())
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, column)
    if pa.types.is_string(column.type):
        column = pc.if_else(pc.equal(column, ""), None, column)
    if not pa.types.is_string(column.type) or not pc.all(pc.starts_with(column, "[")).as_py():
        return column
    try:
        return pa.array([text and json.loads(text) for text in column.to_pylist()])
    except (ValueError, pa.ArrowException):
        return column


TRUE, FALSE = ["true", "True", "TRUE", "yes"], ["false", "False", "FALSE", "no"]
READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".csv": _read_csv,
    ".parquet": pa.parquet.read_table,
    ".jsonl": pa.json.read_json,
}
