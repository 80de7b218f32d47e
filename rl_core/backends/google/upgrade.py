"""The upgrade of a BigQuery warehouse of schema version 2: one statement creates the new table with its decisions."""

import json

from google.api_core.exceptions import BadRequest, Conflict
from google.cloud import bigquery

from banditloop.rl_core.backends.google.tables import column, is_upgraded
from banditloop.rl_core.backends.older_schema import OLD_DECISIONS, upgraded_feature
from banditloop.rl_core.events.schema import LOGGED_AT, STORED_TABLES, decision_schema
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.settings.task import Task


def upgrade(client: bigquery.Client, backend: GoogleBackend, task: Task) -> int:
    """Copy the decisions of version 2; returns their number, 0 if there is nothing to copy or another process did.

    They keep their logged_at, and the count of received events in the log stays as it was.

    Raises:
        InvalidInput: the task has other features, or actions with names.
    """
    if is_upgraded(client, backend.dataset):
        return 0
    feature = upgraded_feature(task)
    old = client.get_table(f"{client.project}.{backend.dataset}.{OLD_DECISIONS}")
    try:
        client.query(_copy(backend.dataset, task, feature, {field.name for field in old.schema})).result()
    except (BadRequest, Conflict):  # the emulator reports a conflict as a bad request
        if not is_upgraded(client, backend.dataset):
            raise
        return 0  # another process upgraded it meanwhile
    [(copied,)] = client.query(f"SELECT COUNT(*) FROM `{backend.dataset}`.{OLD_DECISIONS}").result()
    return int(copied)


def _copy(dataset: str, task: Task, feature: str, old_columns: set[str]) -> str:
    """Create the table of decisions, as `create_tables` does, from the old one, whose columns are given."""
    columns = [column(field) for field in [*decision_schema(task), LOGGED_AT]]
    values = {
        "context": f"STRUCT(observation AS `{feature}`)",
        "action": "CAST(action AS STRING)",
        "mode": "IF(mode = 'logged', 'external', mode)",
        "logging_probability": "COALESCE(pass_probability, 1.0)" if "pass_probability" in old_columns else "1.0",
    }
    selected = [f"{values.get(field.name) or _kept(field, old_columns)} AS {field.name}" for field in columns]
    return f"""CREATE TABLE `{dataset}`.{STORED_TABLES["decisions"]}
({", ".join(map(_definition, columns))})
PARTITION BY TIMESTAMP_TRUNC({LOGGED_AT.name}, DAY) CLUSTER BY event_id AS
SELECT {", ".join(selected)} FROM `{dataset}`.{OLD_DECISIONS}"""


def _kept(field: bigquery.SchemaField, old_columns: set[str]) -> str:
    """SQL of a column's value: the old column or, where it is missing, NULL or an empty list."""
    if field.name in old_columns:
        return str(field.name)
    return f"CAST({'[]' if field.mode == 'REPEATED' else 'NULL'} AS {_sql_type(field)})"


def _definition(field: bigquery.SchemaField) -> str:
    required = " NOT NULL" if field.mode == "REQUIRED" else ""
    return f"{field.name} {_sql_type(field)}{required} OPTIONS (description = {json.dumps(field.description)})"


def _sql_type(field: bigquery.SchemaField) -> str:
    kind: str = field.field_type
    if field.fields:
        kind = f"STRUCT<{', '.join(f'`{part.name}` {_sql_type(part)}' for part in field.fields)}>"
    return f"ARRAY<{kind}>" if field.mode == "REPEATED" else kind
