"""DuckDB views of the data files of an event table, whose rows may have other features than the task has now.

Files are grouped by the features that they hold. A group that has all fields of the task is read as it is; in others,
missing features are null. One group, the usual case, costs nothing.
"""

from collections import defaultdict
from functools import lru_cache

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from banditloop.rl_core.backends.local.table_snapshot import DataFile
from banditloop.rl_core.events.schema import TIME

SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    TIME: "TIMESTAMPTZ",
}
CACHED_FILES = 1024  # more than a table has after compaction, unless it is huge


def create_view(connection: duckdb.DuckDBPyConnection, name: str, files: list[DataFile], schema: pa.Schema) -> None:
    """Create a temporary view with the fields of `schema` and a `number` that is unique among the rows of the files.

    It replaces one of the same name. The number is cheaper to sort and join by than the event id.
    """
    groups: dict[tuple[tuple[str, pa.DataType], ...], list[str]] = defaultdict(list)
    for file in files:
        groups[stored_fields(file.path)].append(file.path)
    queries: list[str] = []
    first = 0
    for fields, paths in groups.items():
        columns = [f"{_projected(fields, field)} AS {field.name}" for field in schema]
        number = f"(file_index + {first})::BIGINT << 32 | file_row_number AS number"
        files_read = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        queries.append(f"SELECT {', '.join([*columns, number])} FROM read_parquet([{files_read}])")
        first += len(paths)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {' UNION ALL '.join(queries) or _no_rows(schema)}")


def _no_rows(schema: pa.Schema) -> str:
    columns = [f"{_expression(None, field.type, '')} AS {field.name}" for field in schema]
    return f"SELECT {', '.join([*columns, '0 AS number'])} WHERE false"


@lru_cache(CACHED_FILES)
def stored_fields(path: str) -> tuple[tuple[str, pa.DataType], ...]:
    """Name and type of the fields of a data file, which never change."""
    return tuple((field.name, field.type) for field in pq.read_schema(path))


@lru_cache(CACHED_FILES)
def values_per_row(path: str) -> float:
    """Number of values in a row of a data file, on average; each item of a list is one."""
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    values = sum(group.column(index).num_values for group in groups for index in range(group.num_columns))
    return values / max(1, metadata.num_rows)


def _projected(fields: tuple[tuple[str, pa.DataType], ...], wanted: pa.Field) -> str:
    return _expression(dict(fields).get(wanted.name), wanted.type, f'"{wanted.name}"')


def _expression(stored: pa.DataType | None, wanted: pa.DataType, value: str) -> str:
    """SQL that gives a stored value the fields of the wanted type; the value itself where it has them."""
    if stored is None:
        return f"CAST(NULL AS {_sql_type(wanted)})"
    if pa.types.is_struct(wanted):
        known = {field.name: field.type for field in stored}
        parts = {f.name: (f'{value}."{f.name}"', known.get(f.name), f.type) for f in wanted}
        expressions = {name: _expression(old, new, part) for name, (part, old, new) in parts.items()}
        if list(known) == list(parts) and all(expressions[name] == part for name, (part, _, _) in parts.items()):
            return value
        return "struct_pack(" + ", ".join(f'"{name}" := {sql}' for name, sql in expressions.items()) + ")"
    if pa.types.is_list(wanted):
        item = _expression(stored.value_type, wanted.value_type, "item")
        return value if item == "item" else f"list_transform({value}, lambda item: {item})"
    return value


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f'"{field.name}" {_sql_type(field.type)}' for field in kind) + ")"
    return SQL_TYPES[kind]
