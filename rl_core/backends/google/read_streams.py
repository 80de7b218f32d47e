"""Streams of BigQuery's Storage Read API, in which several processes read one table."""

from collections.abc import Iterator

import pyarrow as pa
from google.cloud.bigquery import TableReference
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types


def stream_names(client: BigQueryReadClient, table: TableReference, count: int) -> list[str]:
    """Names of up to `count` streams that together have every row of a table once; they last for six hours."""
    name = f"projects/{table.project}/datasets/{table.dataset_id}/tables/{table.table_id}"
    wanted = types.ReadSession(table=name, data_format=types.DataFormat.ARROW)
    session = client.create_read_session(
        parent=f"projects/{table.project}", read_session=wanted, max_stream_count=count
    )
    return [stream.name for stream in session.streams]


def stream_batches(client: BigQueryReadClient, stream: str) -> Iterator[pa.RecordBatch]:
    """The rows of a stream in batches; one that is interrupted is resumed."""
    return (page.to_arrow() for page in client.read_rows(stream).rows().pages)
