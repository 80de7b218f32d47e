"""The BigQuery emulator with what it lacks: adding fields to the records of a table. Run by the emulator's own Python.

BigQuery adds them when a table's schema is updated; the emulator adds columns only, and ignores the fields of records.
Its database runs on one thread: a second one costs a quarter more time of the processor for tables as small as those
of tests. It looks a table up several times in a query, by functions of DuckDB that read all tables of all tests; here
it asks DuckLake's own tables, which takes a tenth of the time. Each query begins with a search for temporary tables,
in all tables too, on a new cursor, which has none: only sessions keep one, and nothing here opens any.
"""

import sys

import duckdb
from local_bigquery import cli
from local_bigquery.catalog import tables
from local_bigquery.engine import database, types

sys.modules["pandas"] = None  # DuckDB searches the disk for it, if it is not installed, at every parameter of a query
alter, objects, fetch, sql = tables._alter, database.objects, database.fetch, duckdb.DuckDBPyConnection.sql
TEMPORARY = "SELECT table_name FROM duckdb_tables() WHERE temporary"
RESULTS = "emulator"  # the database of queries' results
CURRENT = """
    {lake}.ducklake_{kind} JOIN {lake}.ducklake_schema USING (schema_id)
    WHERE ducklake_{kind}.end_snapshot IS NULL AND ducklake_schema.end_snapshot IS NULL
    AND schema_name = $1 AND {kind}_name = $2
"""
TABLE, VIEW = (CURRENT.replace("{kind}", kind) for kind in ("table", "view"))
OBJECTS = f"""
    SELECT table_name, 'TABLE', coalesce((
        SELECT record_count FROM {{lake}}.ducklake_table_stats s WHERE s.table_id = ducklake_table.table_id
    ), 0) FROM {TABLE}
    UNION ALL SELECT view_name, 'VIEW', 0 FROM {VIEW}
"""
COLUMNS = f"""
    FROM {{lake}}.ducklake_column WHERE end_snapshot IS NULL AND parent_column IS NULL
    AND table_id = (SELECT table_id FROM {TABLE})
"""
OF_ALL_TABLES = {  # queries for the columns of one table that read those of all, by how they begin
    "SELECT column_name FROM duckdb_columns()": f"SELECT column_name {COLUMNS} AND NOT nulls_allowed",
    "SELECT 1 FROM duckdb_columns()": f"SELECT 1 {COLUMNS} AND column_name = $3",
}


def alter_with_records(project: str, dataset: str, table_id: str, fields: list) -> None:
    """Add the missing columns, and the missing fields of records."""
    alter(project, dataset, table_id, fields)
    current = {field.name.casefold(): field for field in tables.columns(project, dataset, table_id)}
    for field in fields:
        known = {part.name.casefold() for part in current[field.name.casefold()].fields or []}
        path = database.quote(field.name) + (".element" if field.mode == "REPEATED" else "")
        for part in field.fields or []:
            if part.name.casefold() not in known:
                statement = f"ADD COLUMN {path}.{types.column(part, nested=True)}"
                database.execute(f"ALTER TABLE {tables.name(project, dataset, table_id)} {statement}")


def objects_by_name(project: str, dataset: str, table_id: str | None = None) -> list:
    """The tables and views of a dataset, or that of a name, each with its kind and number of rows."""
    if table_id is None or project not in {*database._attached, RESULTS}:
        return objects(project, dataset, table_id)
    if project != RESULTS:
        return fetch(OBJECTS.format(lake=lake(project)), [dataset, table_id])
    try:
        [(rows,)] = fetch(f"SELECT count(*) FROM {database.quote(project, dataset, table_id)}")
    except duckdb.CatalogException:
        return []
    return [(table_id, "TABLE", rows)]


def fetch_by_name(sql: str, params: list | None = None) -> list:
    """The rows of a query."""
    for beginning, of_one_table in OF_ALL_TABLES.items():
        if sql.startswith(beginning) and params and params[0] in database._attached:
            return fetch(of_one_table.format(lake=lake(params[0])), params[1:])
    return fetch(sql, params)


def sql_without_temporary_tables(cursor: duckdb.DuckDBPyConnection, query: str, **options) -> duckdb.DuckDBPyRelation:
    """The result of a query, to be read."""
    return sql(cursor, "SELECT '' LIMIT 0" if query == TEMPORARY else query, **options)


def lake(project: str) -> str:
    """The quoted name of the database with DuckLake's own tables of a project."""
    return database.quote(f"__ducklake_metadata_{project}")


tables._alter, database.objects, database.fetch = alter_with_records, objects_by_name, fetch_by_name
duckdb.DuckDBPyConnection.sql = sql_without_temporary_tables
database.EMULATOR_SCHEMA += "SET threads = 1;"
sys.exit(cli.main())
