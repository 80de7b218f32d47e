"""Nested values as columns named a.b: fields of structs, and keys of maps and of JSON objects."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.logs.batches import array_of


def flatten(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A mapping without nested mappings: their entries have the names a.b."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """The table of rows with any keys, in the order in which they first occur."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: array_of([row.get(name) for row in rows]) for name in names})


def flat(table: pa.Table) -> pa.Table:
    """The table with the fields of structs and the keys of maps as columns."""
    while any(pa.types.is_struct(kind) or pa.types.is_map(kind) for kind in table.schema.types):
        table = _replaced(table, lambda name, column: _by_key(name, column) if pa.types.is_map(column.type) else None)
        table = table.flatten()
    return table


def objects_as_columns(table: pa.Table) -> pa.Table:
    """The table in which a column of texts that are all JSON objects is replaced by columns of their keys."""
    return _replaced(table, _by_key_in_json)


def _replaced(table: pa.Table, columns_of: Callable[[str, pa.ChunkedArray], dict[str, Any] | None]) -> pa.Table:
    """The table with columns replaced by those that `columns_of` gives; None: the column stays."""
    pairs: list[tuple[str, Any]] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        replacements = columns_of(name, column)
        pairs += [(name, column)] if replacements is None else replacements.items()
    return pa.Table.from_arrays([column for _, column in pairs], [name for name, _ in pairs])


def _by_key(name: str, column: pa.ChunkedArray) -> dict[str, pa.Array]:
    """The values of a column of maps by key; null where a map lacks the key."""
    pairs = column.cast(pa.list_(column.type.field(0).type)).combine_chunks()
    lengths, entries = pc.list_value_length(pairs).fill_null(0).to_numpy(), pc.list_flatten(pairs)
    keys, row_of = entries.field(0).cast(pa.string()).dictionary_encode(), np.repeat(np.arange(len(pairs)), lengths)
    codes, columns = keys.indices.to_numpy(), dict[str, pa.Array]()
    for code, key in enumerate(keys.dictionary.to_pylist()):
        places = np.full(len(pairs), -1)
        [matches] = np.nonzero(codes == code)
        places[row_of[matches]] = matches
        columns[f"{name}.{key}"] = entries.field(1).take(pa.array(places, mask=places < 0))
    return columns


def _by_key_in_json(name: str, column: pa.ChunkedArray) -> dict[str, pa.ChunkedArray] | None:
    """The values of a column of JSON objects by key; None if it has other values."""
    if not pa.types.is_string(column.type) or not pc.all(pc.starts_with(column, "{"), min_count=1).as_py():
        return None
    try:
        objects = [{} if text is None else json.loads(text) for text in column.to_pylist()]
    except (ValueError, RecursionError):
        return None
    table = table_of([flatten(values, f"{name}.") for values in objects])
    return dict(zip(table.column_names, table.columns, strict=True))
