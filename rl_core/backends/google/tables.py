"""The warehouse's BigQuery tables, with columns derived from the event schemas by type.

The tables of decisions and rewards are partitioned by the day of logged_at and clustered by event_id. `log` has one row
for each of them: the number of events received and the last logged_at. Every append updates that row, so BigQuery lets
only one append to a table succeed at a time.
"""

from collections.abc import Iterable

import pyarrow as pa
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud import bigquery

from banditloop.rl_core.backends.google.clients import LABEL
from banditloop.rl_core.backends.older_schema import NOT_UPGRADED, OLD_DECISIONS
from banditloop.rl_core.backends.retries import retry_while
from banditloop.rl_core.backends.stored_features import merged
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import KEYS, LOGGED_AT, STORED_TABLES, TIME, event_schema
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.settings.task import Task

TYPES = {
    pa.string(): "STRING",
    pa.bool_(): "BOOL",
    pa.int32(): "INT64",
    pa.float32(): "FLOAT64",
    pa.float64(): "FLOAT64",
    TIME: "TIMESTAMP",
}
LEGACY_TYPES = {"BOOLEAN": pa.bool_(), "INTEGER": pa.int32(), "FLOAT": pa.float64()}  # as BigQuery gives them back
ARROW_TYPES = {name: kind for kind, name in TYPES.items()} | LEGACY_TYPES
LOG = "log"
UPDATE_SECONDS = 60.0


def column(field: pa.Field) -> bigquery.SchemaField:
    """The BigQuery column of a field of an event schema."""
    is_list = pa.types.is_list(field.type)
    kind = field.type.value_type if is_list else field.type
    is_struct = pa.types.is_struct(kind)
    return bigquery.SchemaField(
        field.name,
        "RECORD" if is_struct else TYPES[kind],
        "REPEATED" if is_list else "NULLABLE" if field.nullable else "REQUIRED",
        description=(field.metadata or {}).get(b"description", b"").decode() or None,
        fields=[column(part) for part in kind] if is_struct else (),
    )


def arrow_schema(columns: Iterable[bigquery.SchemaField]) -> pa.Schema:
    """The Arrow schema of the columns of an existing table."""
    return pa.schema([pa.field(column.name, _arrow_type(column)) for column in columns])


def create_tables(client: bigquery.Client, backend: GoogleBackend, task: Task) -> None:
    """Create the dataset and the tables that are missing, and add the features that the task has gained.

    Raises:
        InvalidInput: the decisions have an older schema version, or a feature is stored as another kind.
    """
    dataset = backend.dataset
    try:
        client.get_dataset(dataset)  # first, as creating needs a permission that most processes lack
    except NotFound:
        reference = bigquery.Dataset(f"{client.project}.{dataset}")
        reference.location, reference.labels = backend.location, {LABEL: backend.endpoint}
        client.create_dataset(reference, exists_ok=True)
    if not is_upgraded(client, dataset):
        raise InvalidInput(NOT_UPGRADED)
    for name in KEYS:
        _create(client, table(client, dataset, name, task))
    rows = " UNION ALL ".join(
        f"SELECT '{name}' AS name, 0 AS received, TIMESTAMP '1970-01-01 00:00:00+00' AS logged_at" for name in KEYS
    )  # atomically, so that of several concurrent creators only one inserts rows
    client.query(f"CREATE TABLE IF NOT EXISTS `{dataset}`.{LOG} AS {rows}").result()


def has_tables(client: bigquery.Client, dataset: str, task: Task) -> bool:
    """Whether all tables exist with all columns."""
    try:
        client.get_table(f"{client.project}.{dataset}.{LOG}")
        for desired in (table(client, dataset, name, task) for name in KEYS):
            current = client.get_table(desired)
            if _extended(current.schema, desired.schema) != list(current.schema):
                return False
    except NotFound:
        return False
    return True


def is_upgraded(client: bigquery.Client, dataset: str) -> bool:
    """Whether the dataset has no decisions of schema version 2 left to upgrade."""
    return _exists(client, dataset, STORED_TABLES["decisions"]) or not _exists(client, dataset, OLD_DECISIONS)


def table(client: bigquery.Client, dataset: str, name: str, task: Task) -> bigquery.Table:
    """The table of a task's decisions or rewards, as it is created."""
    columns = [column(field) for field in [*event_schema(name, task), LOGGED_AT]]
    definition = bigquery.Table(f"{client.project}.{dataset}.{STORED_TABLES[name]}", columns)
    definition.time_partitioning = bigquery.TimePartitioning(field=LOGGED_AT.name)
    definition.clustering_fields = ["event_id"]
    return definition


@retry_while(lambda error: isinstance(error, PreconditionFailed), UPDATE_SECONDS)  # another process changed the table
def _create(client: bigquery.Client, desired: bigquery.Table) -> None:
    """Create the table, or add its missing columns."""
    current = client.create_table(desired, exists_ok=True)
    merged(arrow_schema(current.schema), arrow_schema(desired.schema))  # raises before anything is changed
    extended = _extended(current.schema, desired.schema)
    if extended != list(current.schema):
        current.schema = extended
        client.update_table(current, ["schema"])


def _extended(
    current: Iterable[bigquery.SchemaField], desired: Iterable[bigquery.SchemaField]
) -> list[bigquery.SchemaField]:
    """The current columns and the missing ones, in records too."""
    missing = {field.name: field for field in desired}
    columns = []
    for field in current:
        if (desired_field := missing.pop(field.name, None)) and desired_field.fields:
            parts = [part.to_api_repr() for part in _extended(field.fields, desired_field.fields)]
            field = bigquery.SchemaField.from_api_repr(field.to_api_repr() | {"fields": parts})
        columns.append(field)
    return [*columns, *missing.values()]


def _exists(client: bigquery.Client, dataset: str, name: str) -> bool:
    try:
        client.get_table(f"{client.project}.{dataset}.{name}")
    except NotFound:
        return False
    return True


def _arrow_type(column: bigquery.SchemaField) -> pa.DataType:
    if column.fields:
        kind = pa.struct([pa.field(part.name, _arrow_type(part)) for part in column.fields])
    else:
        kind = ARROW_TYPES.get(column.field_type, pa.string())
    return pa.list_(kind) if column.mode == "REPEATED" else kind
