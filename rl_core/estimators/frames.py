"""Columns of a log in a table of any library: pandas, Polars, Arrow, or a mapping of arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from banditloop.rl_core.errors import InvalidInput, brief, nearest

TOLERANCE, ROUNDING = 1e-3, 1e-6  # of the sums of probabilities, and of each
Column = str | Sequence[Any] | np.ndarray  # the name of a column, or its values
Probabilities = Column | Mapping[str, Column]  # of the logged action [B], or of all: [B, K], or columns by action


def column(log: Any, given: Column, key: str) -> np.ndarray:
    """The values [B] of a column, or [B, K].

    Raises:
        InvalidInput: the log has no such column; names the nearest.
    """
    if not isinstance(given, str):
        return np.atleast_1d(np.asarray(given))
    names = column_names(log)
    if given not in names:
        raise InvalidInput(f"{key} = {given!r}: the log has no such column; {nearest(given, names, 'the log')}")
    return np.atleast_1d(np.asarray(log[given]))


def numbers(log: Any, given: Column, key: str) -> np.ndarray:
    """The numbers [B] of a column, or [B, K], all of them finite.

    Raises:
        InvalidInput: as `column`, or a value is missing or no number; names its row, counted from 0.
    """
    values = column(log, given, key)
    if (finite := _finite(values)) is None:
        row = next(row for row in range(len(values)) if _finite(values[row : row + 1]) is None)
        name = f"{key} = {given!r}" if isinstance(given, str) else key
        raise InvalidInput(f"{name}, row {row}: {brief(values[row : row + 1].tolist()[0])}: give a finite number")
    return finite


def columns(given: str | Sequence[str] | Mapping[str, Column]) -> Mapping[str, Column]:
    """Columns by name, given so, as names, or as one name."""
    if isinstance(given, Mapping):
        return given
    return {name: name for name in ([given] if isinstance(given, str) else given)}


def propensities(log: Any, given: Column) -> np.ndarray:
    """The propensities [B] of the logged actions.

    Raises:
        InvalidInput: as `numbers`, or one is not above 0 and at most 1; names its row.
    """
    values = numbers(log, given, "propensity")
    check_range("propensity", values, (values > 0) & (values <= 1 + ROUNDING), "must be above 0 and at most 1")
    return values


def sample_weights(log: Any, given: Column) -> np.ndarray:
    """The inverse logging probabilities [B].

    Raises:
        InvalidInput: as `numbers`, or one is not above 0; names its row.
    """
    values = numbers(log, given, "sample_weight")
    check_range("sample_weight", values, values > 0, "an inverse logging probability must be above 0")
    return values


def action_ids(given: Probabilities) -> list[str] | None:
    """The ids of the actions, if probabilities are columns by action; None: of the logged one, or of 0, 1, …"""
    return list(given) if isinstance(given, Mapping) else None


def probabilities(log: Any, given: Probabilities, key: str, ids: list[str] | None) -> np.ndarray:
    """Probabilities of the logged action [B], or of all actions [B, K], in the order of `ids`.

    Raises:
        InvalidInput: they are not from 0 to 1, do not sum to 1, or are of other actions; names the row.
    """
    if isinstance(given, Mapping):
        if set(given) != set(ids or ()):
            raise InvalidInput(
                f"{key}: has the actions {', '.join(given)}; target has {', '.join(ids or ['no names'])}"
            )
        by_action = {f"{key}.{name}": numbers(log, given[name], f"{key}.{name}") for name in ids or ()}
        check_rows(max(map(len, by_action.values())), by_action)
        values = np.column_stack(list(by_action.values()))
    else:
        values = numbers(log, given, key)
    check_range(key, values, (values >= 0) & (values <= 1 + ROUNDING), "a probability is from 0 to 1")
    if values.ndim == 2:
        sums = values.sum(axis=1)
        check_range(f"{key}, sum", sums, np.abs(sums - 1) <= TOLERANCE, "the probabilities of all actions sum to 1")
    return values


def normalised(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities of all actions [B, K], which may be rounded, as they sum to 1; those of one action [B] as given."""
    return probabilities if probabilities.ndim == 1 else probabilities / probabilities.sum(axis=1, keepdims=True)


def check_rows(rows: int, columns: Mapping[str, np.ndarray]) -> None:
    """InvalidInput for the first column that does not have so many rows."""
    for key, values in columns.items():
        if len(values) != rows:
            raise InvalidInput(f"{key}: of length {len(values):,}; give one value for each of {rows:,} decisions")


def check_range(key: str, values: np.ndarray, right: np.ndarray, hint: str) -> None:
    """InvalidInput for the first row with a value that is not right, bool [B] or [B, K]."""
    if not right.all():
        row = int(np.argwhere(~right)[0][0])
        raise InvalidInput(f"{key}, row {row}: {values[~right][0]:g}: {hint}")


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, or pandas' NA, which compares with nothing."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):
        return True


def positions(log: Any, given: Column, ids: list[str] | None, count: int) -> np.ndarray:
    """The position of each row's action [B] among `ids`, or among 0 to count - 1.

    Raises:
        InvalidInput: an action is none of them; names its row.
    """
    index = {name: position for position, name in enumerate(ids or map(str, range(count)))}
    values = column(log, given, "action")
    indices = np.array([index.get(label(value), -1) for value in values.tolist()], int)
    if (indices < 0).any():
        row = int(np.argmax(indices < 0))
        raise InvalidInput(
            f"action, row {row}: {values.tolist()[row]!r} is none of the {count} actions with probabilities"
        )
    return indices


def column_names(log: Any) -> list[str]:
    """The names of a table's columns, without those that are no texts."""
    names = getattr(log, "column_names", None) or getattr(log, "columns", None)
    return [name for name in (log if names is None else names) if isinstance(name, str)]


def label(value: Any) -> str:
    """A value as text, a whole number without a decimal point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _finite(values: np.ndarray) -> np.ndarray | None:
    """The values as numbers; None if one is not finite, or no number."""
    try:
        array = values.astype(np.float64)
    except (TypeError, ValueError):
        return None
    return array if np.isfinite(array).all() else None
