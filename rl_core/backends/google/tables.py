"""The warehouse's BigQuery tables, with columns derived from the event schemas by type.

`decisions` and `rewards` are partitioned by the day of logged_at and clustered by event_id. `log` has one row for each
of them: the number of events received and the last logged_at. Every append updates that row, so BigQuery lets only one
append to a table succeed at a time.
"""

import pyarrow as pa
from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from banditloop.rl_core.backends.google.clients import LABEL
from banditloop.rl_core.events.schema import FIELD_DEFAULTS, LOGGED_AT, SCHEMAS
from banditloop.rl_core.settings.backend import GoogleBackend

TYPES = {
    pa.string(): "STRING",
    pa.int32(): "INT64",
    pa.float32(): "FLOAT64",
    pa.float64(): "FLOAT64",
    pa.timestamp("us", "UTC"): "TIMESTAMP",
}
LOG = "log"


def column(field: pa.Field) -> bigquery.SchemaField:
    """The BigQuery column of a field of an event schema."""
    is_list = pa.types.is_list(field.type)
    mode = "REPEATED" if is_list else "NULLABLE" if field.name in FIELD_DEFAULTS else "REQUIRED"
    description = field.metadata[b"description"].decode()
    return bigquery.SchemaField(
        field.name, TYPES[field.type.value_type if is_list else field.type], mode, description=description
    )


def create_tables(client: bigquery.Client, backend: GoogleBackend) -> None:
    """Create the dataset and the tables that are missing, and add the columns of newer schema versions."""
    dataset = backend.dataset
    try:
        client.get_dataset(dataset)  # first, as creating needs a permission that most processes lack
    except NotFound:
        reference = bigquery.Dataset(f"{client.project}.{dataset}")
        reference.location, reference.labels = backend.location, {LABEL: backend.endpoint}
        client.create_dataset(reference, exists_ok=True)
    for name in SCHEMAS:
        table = _table(client, dataset, name)
        current = client.create_table(table, exists_ok=True)
        if missing := _missing_columns(current, table):
            current.schema = [*current.schema, *missing]
            client.update_table(current, ["schema"])
    rows = " UNION ALL ".join(
        f"SELECT '{name}' AS name, 0 AS received, TIMESTAMP '1970-01-01 00:00:00+00' AS logged_at" for name in SCHEMAS
    )  # atomically, so that of several concurrent creators only one inserts rows
    client.query(f"CREATE TABLE IF NOT EXISTS `{dataset}`.{LOG} AS {rows}").result()


def has_tables(client: bigquery.Client, dataset: str) -> bool:
    """Whether all tables exist with all columns."""
    try:
        client.get_table(f"{client.project}.{dataset}.{LOG}")
        tables = [_table(client, dataset, name) for name in SCHEMAS]
        return not any(_missing_columns(client.get_table(table), table) for table in tables)
    except NotFound:
        return False


def _table(client: bigquery.Client, dataset: str, name: str) -> bigquery.Table:
    columns = [column(field) for field in [*SCHEMAS[name], LOGGED_AT]]
    table = bigquery.Table(f"{client.project}.{dataset}.{name}", columns)
    table.time_partitioning = bigquery.TimePartitioning(field=LOGGED_AT.name)
    table.clustering_fields = ["event_id"]
    return table


def _missing_columns(current: bigquery.Table, desired: bigquery.Table) -> list[bigquery.SchemaField]:
    names = {field.name for field in current.schema}
    return [field for field in desired.schema if field.name not in names]
