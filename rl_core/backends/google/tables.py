"""The warehouse's BigQuery tables, made from the event model by type.

decisions and rewards are partitioned by the day of logged_at and clustered by event_id. `log` has a row for each of
them: how many events came, and the last logged_at. Whoever appends changes that row, so that BigQuery lets only one
append at a time succeed.
"""

import pyarrow as pa
from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from rl_core.backend import GoogleBackend
from rl_core.backends.google.clients import LABEL
from rl_core.schema import LATER_FIELDS, LOGGED_AT, SCHEMAS

TYPES = {
    pa.string(): "STRING",
    pa.int32(): "INT64",
    pa.float32(): "FLOAT64",
    pa.float64(): "FLOAT64",
    pa.timestamp("us", "UTC"): "TIMESTAMP",
}
LOG = "log"


def column(field: pa.Field) -> bigquery.SchemaField:
    """The column of a field of the event model."""
    several = pa.types.is_list(field.type)
    mode = "REPEATED" if several else "NULLABLE" if field.name in LATER_FIELDS else "REQUIRED"
    description = field.metadata[b"description"].decode()
    return bigquery.SchemaField(
        field.name, TYPES[field.type.value_type if several else field.type], mode, description=description
    )


def create_tables(client: bigquery.Client, backend: GoogleBackend) -> None:
    """Make what is not there, and add the columns that a newer schema version has brought."""
    dataset = backend.dataset
    try:
        client.get_dataset(dataset)  # whoever may not make one finds it made
    except NotFound:
        reference = bigquery.Dataset(f"{client.project}.{dataset}")
        reference.location, reference.labels = backend.location, {LABEL: backend.endpoint}
        client.create_dataset(reference, exists_ok=True)
    for name in SCHEMAS:
        table = _table(client, dataset, name)
        found = client.create_table(table, exists_ok=True)
        if more := _missing(found, table):
            found.schema = [*found.schema, *more]
            client.update_table(found, ["schema"])
    rows = " UNION ALL ".join(
        f"SELECT '{name}' AS name, 0 AS received, TIMESTAMP '1970-01-01 00:00:00+00' AS logged_at" for name in SCHEMAS
    )  # in one step, so that only one creator's rows stay
    client.query(f"CREATE TABLE IF NOT EXISTS `{dataset}`.{LOG} AS {rows}").result()


def has_tables(client: bigquery.Client, dataset: str) -> bool:
    """Whether create_tables has nothing to do."""
    try:
        client.get_table(f"{client.project}.{dataset}.{LOG}")
        tables = [_table(client, dataset, name) for name in SCHEMAS]
        return not any(_missing(client.get_table(table), table) for table in tables)
    except NotFound:
        return False


def _table(client: bigquery.Client, dataset: str, name: str) -> bigquery.Table:
    columns = [column(field) for field in [*SCHEMAS[name], LOGGED_AT]]
    table = bigquery.Table(f"{client.project}.{dataset}.{name}", columns)
    table.time_partitioning = bigquery.TimePartitioning(field=LOGGED_AT.name)
    table.clustering_fields = ["event_id"]
    return table


def _missing(found: bigquery.Table, wanted: bigquery.Table) -> list[bigquery.SchemaField]:
    """The columns that a table lacks."""
    known = {field.name for field in found.schema}
    return [field for field in wanted.schema if field.name not in known]
