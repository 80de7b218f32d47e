"""A Storage Read API with several streams per session, as BigQuery has, in front of the emulator, which has one."""

import contextlib
import threading
from collections.abc import Iterator

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

from banditloop.rl_core.backends.google.clients import reader
from tests.support.stand_ins import listen

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
BATCH_ROWS = 100


class ReadStreams:
    """Streams wait until all of them are open. Each fails once with UNAVAILABLE and resumes at the retry's offset."""

    def __init__(self, count: int) -> None:
        self._real = reader()
        self._count, self._all_open = count, threading.Barrier(count, timeout=30)
        self._schemas: dict[str, types.ArrowSchema] = {}
        self.interrupted: set[str] = set()
        self.faults: list[grpc.StatusCode] = []

    def on_call(self, name: str, context) -> None:
        pass

    def CreateReadSession(self, request: types.CreateReadSessionRequest, context) -> types.ReadSession:
        """The emulator's session, with its single stream divided into several."""
        session = self._real.create_read_session(request)
        [stream] = session.streams
        self._schemas[stream.name] = session.arrow_schema
        session.streams = [types.ReadStream(name=f"{stream.name}/{part}") for part in range(self._count)]
        return session

    def ReadRows(self, request: types.ReadRowsRequest, context) -> Iterator[types.ReadRowsResponse]:
        """Every n-th row of the emulator's stream, from the request's offset on."""
        name, _, part = request.read_stream.rpartition("/")
        if request.read_stream not in self.interrupted:
            self._all_open.wait()
        schema = pa.ipc.read_schema(pa.py_buffer(self._schemas[name].serialized_schema))
        read = [message.arrow_record_batch.serialized_record_batch for message in self._real.read_rows(name)]
        rows = pa.Table.from_batches([pa.ipc.read_record_batch(pa.py_buffer(batch), schema) for batch in read])
        stream_rows = rows.take(pa.array(range(int(part), len(rows), self._count)))
        for start in range(request.offset, len(stream_rows), BATCH_ROWS):
            if start and request.read_stream not in self.interrupted:
                self.interrupted.add(request.read_stream)
                context.abort(grpc.StatusCode.UNAVAILABLE, "the stream was interrupted")
            [rows_batch] = stream_rows.slice(start, BATCH_ROWS).combine_chunks().to_batches()
            batch = types.ArrowRecordBatch(serialized_record_batch=rows_batch.serialize().to_pybytes())
            yield types.ReadRowsResponse(
                arrow_record_batch=batch, row_count=len(rows_batch), arrow_schema=self._schemas[name]
            )


@contextlib.contextmanager
def read_streams(count: int) -> Iterator[tuple[str, ReadStreams]]:
    """Serve `count` streams per session in front of the environment's emulator; yields the address and the stand-in."""
    streams = ReadStreams(count)
    server, address = listen(streams, [(SERVICE, types)])
    try:
        yield address, streams
    finally:
        server.stop(0)
