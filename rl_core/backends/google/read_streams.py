"""Streams of BigQuery's Storage Read API, through which several processes read one table."""

from collections.abc import Iterator

import pyarrow as pa
from google.api_core.exceptions import FailedPrecondition, InvalidArgument, NotFound
from google.cloud.bigquery import TableReference
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types

from banditloop.rl_core.errors import PlatformError


def kept(table: str, query: str) -> str:
    """SQL that stores the result of a query in a table for a day. Without a table, a result may have 10 GB at most."""
    expiration = "expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)"
    return f"CREATE TABLE `{table}` OPTIONS ({expiration}) AS {query}"


def stream_names(client: BigQueryReadClient, table: TableReference, count: int) -> list[str]:
    """Names of up to `count` streams that together have every row of a table once; they last for six hours."""
    name = f"projects/{table.project}/datasets/{table.dataset_id}/tables/{table.table_id}"
    request = types.ReadSession(table=name, data_format=types.DataFormat.ARROW)
    session = client.create_read_session(
        parent=f"projects/{table.project}", read_session=request, max_stream_count=count
    )
    return [stream.name for stream in session.streams]


def stream_batches(client: BigQueryReadClient, stream: str) -> Iterator[pa.RecordBatch]:
    """The rows of a stream in batches. After an interruption, reading resumes where it stopped.

    Raises:
        PlatformError: the stream cannot be read, as it has expired.
    """
    try:
        for page in client.read_rows(stream).rows().pages:
            yield page.to_arrow()
    except (FailedPrecondition, InvalidArgument, NotFound) as error:
        raise PlatformError(
            f"shard {stream}: cannot be read: a shard expires six hours after the run planned it; start the run again "
            f"({error})"
        ) from None
