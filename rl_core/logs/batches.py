"""Rows of a log as they were read, and one column of them, which knows its place in the file for error messages."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput, brief

BATCH_ROWS = 10_000


class RawBatch(NamedTuple):
    """Rows of a file: their numbers in it, from 1 on, and their columns. `unit` is what a number counts."""

    path: Path
    numbers: Sequence[int]
    table: pa.Table
    unit: str = "row"

    def where(self, row: int) -> str:
        """The place of a row, for messages: file and number."""
        return f"{self.path}, {self.unit} {self.numbers[row]}"

    def cells(self, column: str) -> "Cells":
        """One of the columns; all its values are missing if the batch has none of this name."""
        if column not in self.table.column_names:
            return Cells(column, pa.nulls(self.table.num_rows, pa.string()), self)
        return Cells(column, combined(self.table[column]), self)

    def find(self, column: str | None) -> "Cells | None":
        """One of the columns; None if the batch has none of this name."""
        return self.cells(column) if column is not None and column in self.table.column_names else None


class Cells(NamedTuple):
    """The values of a column."""

    name: str
    values: pa.Array
    batch: RawBatch
    row_of: np.ndarray | None = None  # the row of each value; None: one value a row

    def refuse(self, wrong: np.ndarray, hint: str) -> None:
        """InvalidInput for the first of the values that are wrong, bool [B]: names file, row, column and value."""
        if wrong.any():
            place = int(np.argmax(wrong))
            row = place if self.row_of is None else int(self.row_of[place])
            value = brief(self.values[place].as_py(), 60)
            raise InvalidInput(f"{self.batch.where(row)}: {self.name} = {value}: {hint}")


def combined(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column in one array, without dictionaries, decimals and large types."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # of no chunks
        array = pa.array([], array.type)
    kind = array.type
    if pa.types.is_dictionary(kind):
        return combined(array.cast(kind.value_type))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return array.cast(pa.string())
    if pa.types.is_decimal(kind):
        return array.cast(pa.float64())
    if pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return array.cast(pa.list_(kind.value_type))
    return array


def array_of(values: list[Any]) -> pa.Array:
    """Values of Python as an array; where they have several types, as texts, or JSON."""
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, OverflowError):
        return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return None if value != value else json.dumps(value)
