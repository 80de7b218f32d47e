"""Streams of BigQuery's Storage Read API, in which several processes read one table."""

from collections.abc import Iterator

import pyarrow as pa
from google.api_core.exceptions import FailedPrecondition, InvalidArgument, NotFound
from google.cloud.bigquery import TableReference
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types

from banditloop.rl_core.errors import PlatformError


def kept(table: str, query: str) -> str:
    """SQL that keeps the result of a query in a table for a day; without one it may have 10 GB at most."""
    expiration = "expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)"
    return f"CREATE TABLE `{table}` OPTIONS ({expiration}) AS {query}"


def stream_names(client: BigQueryReadClient, table: TableReference, count: int) -> list[str]:
    """Names of up to `count` streams that together have every row of a table once; they last for six hours."""
    name = f"projects/{table.project}/datasets/{table.dataset_id}/tables/{table.table_id}"
    wanted = types.ReadSession(table=name, data_format=types.DataFormat.ARROW)
    session = client.create_read_session(
        parent=f"projects/{table.project}", read_session=wanted, max_stream_count=count
    )
    return [stream.name for stream in session.streams]


def stream_batches(client: BigQueryReadClient, stream: str) -> Iterator[pa.RecordBatch]:
    """The rows of a stream in batches; one that is interrupted is resumed.

    Raises:
        PlatformError: it has ended.
    """
    try:
        for page in client.read_rows(stream).rows().pages:
            yield page.to_arrow()
    except (FailedPrecondition, InvalidArgument, NotFound) as error:
        raise PlatformError(
            f"shard {stream}: cannot be read, as from six hours after it was planned; start the run again ({error})"
        ) from None
