"""Values of a log's columns as texts, numbers, booleans and lists. Empty cells and NaN are missing: null."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import MAX_ABS_VALUE, MAX_CATEGORIES
from banditloop.rl_core.logs.batches import Cells, array_of, combined
from banditloop.rl_core.settings.feature_kinds import MAX_TEXT_LENGTH, Kind, Vector, arrow_type

NO_NUMBER = ("", "na", "n/a", "nan", "null", "none")  # texts that stand for a missing number, in lower case
TRUE, FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")
MAX_EXACT = 2.0**53  # larger whole numbers are not exact in double precision


def texts(cells: Cells, longest: int = MAX_TEXT_LENGTH) -> pa.Array:
    """The values as texts. Whole numbers are written without point or exponent, even if stored as floats."""
    values = cells.values
    if pa.types.is_floating(values.type):
        numbers = values.to_numpy(zero_copy_only=False).astype(float)
        cells.refuse(np.isfinite(numbers) & (np.abs(numbers) > MAX_EXACT), "is not exact; store ids as texts")
        plain = [
            str(int(n)) if n.is_integer() else repr(n) for n in np.where(np.isfinite(numbers), numbers, 0).tolist()
        ]
        values = pa.array(plain, pa.string(), mask=~np.isfinite(numbers))
    elif not pa.types.is_string(values.type):
        if pa.types.is_nested(values.type):
            cells.refuse(values.is_valid().to_numpy(False), "give a text")
        values = values.cast(pa.string())
    values = pc.utf8_trim_whitespace(values)
    values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    lengths = pc.utf8_length(values).fill_null(0).to_numpy(zero_copy_only=False)
    cells.refuse(lengths > longest, f"give at most {longest} characters")
    return values


def numbers(cells: Cells, low: float = -MAX_ABS_VALUE, high: float = MAX_ABS_VALUE, hint: str = "") -> np.ndarray:
    """The values as numbers from `low` to `high` [B]; NaN where they are missing."""
    values, hint = cells.values, hint or f"give a number from {low:,.0f} to {high:,.0f}"
    if pa.types.is_string(values.type):
        stripped = pc.utf8_trim_whitespace(values)
        lower = pc.utf8_lower(stripped)
        is_missing = pc.is_in(lower, pa.array(NO_NUMBER))
        for word, number in (("true", "1"), ("false", "0")):  # clicks, as pandas writes them to CSV
            stripped = pc.if_else(pc.equal(lower, word), number, stripped)
        values = cast_texts(cells, pc.if_else(is_missing, pa.scalar(None, pa.string()), stripped), pa.float64(), hint)
    elif pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    elif not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_null(values.type)):
        cells.refuse(values.is_valid().to_numpy(zero_copy_only=False), hint)
    array = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).copy()
    cells.refuse(~np.isnan(array) & ~((array >= low) & (array <= high)), hint)
    return array


def feature(cells: Cells, kind: Kind) -> pa.Array:
    """The values as a feature of a kind.

    Raises:
        InvalidInput: a value is not of that kind; names file, row and value.
    """
    if isinstance(kind, list):
        categories = texts(cells)
        known = pc.or_kleene(pc.is_null(categories), pc.is_in(categories, pa.array(kind)))
        cells.refuse(~known.to_numpy(zero_copy_only=False), f"give one of: {', '.join(kind[:20])}")
        return categories
    if isinstance(kind, Vector):
        return _vectors(cells, kind)
    return CONVERSIONS[kind](cells)


def lists(cells: Cells, hint: str) -> list[list[Any] | None]:
    """The values as lists, from texts in JSON too; None where they are missing."""
    items: list[Any] = cells.values.to_pylist()
    for row, value in enumerate(items):
        if isinstance(value, str):
            try:
                items[row] = json.loads(value) if value.strip() else None
            except ValueError:
                items[row] = value
    cells.refuse(np.array([not (value is None or isinstance(value, list)) for value in items], bool), hint)
    return items


def flat(cells: Cells, given: list[list[Any] | None]) -> Cells:
    """The items of all lists, in order, each with the row of its list."""
    row_of = np.repeat(np.arange(len(given)), [len(items or ()) for items in given])
    items = array_of([item for items in given for item in items or ()])
    return Cells(cells.name, combined(items), cells.batch, row_of)


def _booleans(cells: Cells) -> pa.Array:
    if pa.types.is_boolean(cells.values.type):
        return cells.values
    lower = pc.utf8_lower(texts(cells))
    true, false = (pc.is_in(lower, pa.array(words)) for words in (TRUE, FALSE))
    missing = pc.or_kleene(pc.is_null(lower), pc.is_in(lower, pa.array(NO_NUMBER)))
    cells.refuse(~pc.or_(pc.or_(true, false), missing).to_numpy(zero_copy_only=False), "give true or false")
    return pc.if_else(missing, pa.scalar(None, pa.bool_()), true)


def _number_feature(cells: Cells) -> pa.Array:
    values = numbers(cells)
    return pa.array(values, mask=np.isnan(values))


def _categories(cells: Cells) -> pa.Array:
    given = lists(cells, "give a list of texts")
    long = np.array([len(items or ()) > MAX_CATEGORIES for items in given], bool)
    cells.refuse(long, f"give at most {MAX_CATEGORIES:,} texts")
    items = texts(flat(cells, given))
    kept = iter(items.to_pylist())
    return pa.array(
        [None if row is None else [text for _ in row if (text := next(kept))] for row in given],
        pa.list_(pa.string()),
    )


def _vectors(cells: Cells, kind: Vector) -> pa.Array:
    hint = f"give a list of {kind.vector} numbers"
    given = lists(cells, hint)
    cells.refuse(np.array([items is not None and len(items) != kind.vector for items in given], bool), hint)
    items = numbers(flat(cells, given), hint=hint)
    missing = np.repeat(np.isnan(items.reshape(-1, kind.vector)).any(axis=1), kind.vector) if len(items) else items > 0
    flat(cells, given).refuse(missing, hint)
    lengths = [0 if items is None else kind.vector for items in given]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    mask = pa.array([items is None for items in given])
    return pa.ListArray.from_arrays(offsets, pa.array(items, pa.float32()), mask=mask).cast(arrow_type(kind))


def cast_texts(cells: Cells, values: pa.Array, kind: pa.DataType, hint: str) -> pa.Array:
    """The texts of cells in another type. InvalidInput: one has no such value; names file, row and value."""
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        wrong = [not _casts(value, kind) for value in values]
    cells.refuse(np.array(wrong, bool), hint)
    raise InvalidInput(f"{cells.batch.path}: {cells.name}: {hint}")


def _casts(value: pa.Scalar, kind: pa.DataType) -> bool:
    try:
        value.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


CONVERSIONS: dict[str, Callable[[Cells], pa.Array]] = {
    "number": _number_feature,
    "boolean": _booleans,
    "category": texts,
    "categories": _categories,
}
