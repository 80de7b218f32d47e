"""Staging tables of BigQuery: events are loaded into one, from which a transaction copies the new ones."""

import contextlib
import io
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from banditloop.rl_core.backends.google.tables import arrow_schema, column
from banditloop.rl_core.backends.retries import retry_while
from banditloop.rl_core.backends.stored_features import merged
from banditloop.rl_core.events.schema import STORED_TABLES

LIFETIME = timedelta(hours=6)  # of a staging table whose process died before deleting it
RETRY_SECONDS, UPLOAD_ATTEMPTS = 300.0, 4


@contextlib.contextmanager
def staged(client: bigquery.Client, dataset: str, table: str, events: pa.Table) -> Iterator[str]:
    """The name of a new staging table with events of `decisions` or `rewards`, which is deleted after its use.

    Their features are in the stored table's order, since INSERT matches by position; those that the task lacks are
    null. After an error the staging table is left to expire: the query may still run.
    """
    stored = client.get_table(f"{dataset}.{STORED_TABLES[table]}")
    events = events.cast(merged(arrow_schema(stored.schema), events.schema))
    columns = [column(field) for field in events.schema]
    staging = bigquery.Table(f"{dataset}.{table}_{uuid.uuid4().hex}", columns)
    staging.expires = datetime.now(UTC) + LIFETIME
    client.create_table(staging, exists_ok=True)  # it exists if the response to a first attempt was lost
    _upload(client, events, staging)
    yield staging.table_id
    client.delete_table(staging, not_found_ok=True)


def _is_lost_upload(error: BaseException) -> bool:
    """Whether an upload session no longer exists: it had completed, and the response was lost."""
    return isinstance(error, NotFound)


@retry_while(_is_lost_upload, RETRY_SECONDS, max_pause=1.0, max_attempts=UPLOAD_ATTEMPTS)
def _upload(client: bigquery.Client, events: pa.Table, table: bigquery.Table) -> None:
    file, options = io.BytesIO(), bigquery.format_options.ParquetOptions()
    pq.write_table(events, file)
    file.seek(0)
    options.enable_list_inference = True
    config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_TRUNCATE")
    config.parquet_options = options
    client.load_table_from_file(file, table, job_config=config).result()
