"""The BigQuery emulator with what it lacks: adding fields to the records of a table. Run by the emulator's own Python.

BigQuery adds them when a table's schema is updated; the emulator adds columns only, and ignores the fields of records.
Its database runs on one thread: a second one costs a quarter more time of the processor for tables as small as those
of tests.
"""

import sys

from local_bigquery import cli
from local_bigquery.catalog import tables
from local_bigquery.engine import database, types

alter = tables._alter


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


tables._alter = alter_with_records
database.EMULATOR_SCHEMA += "SET threads = 1;"
sys.exit(cli.main())
