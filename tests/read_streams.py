"""A Storage Read API that reads in several streams what the emulator behind it reads in one, as BigQuery's own does."""

import contextlib
import threading
from collections.abc import Iterator

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

from rl_core.backends.google.clients import reader
from tests.stand_ins import listen

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
PIECE = 100  # rows at a time


class ReadStreams:
    """None of its streams goes on before all of them are read; each breaks off once, and is taken up where it was."""

    def __init__(self, many: int) -> None:
        self._real = reader()
        self._many, self._all_are_read = many, threading.Barrier(many, timeout=30)
        self._schemas: dict[str, types.ArrowSchema] = {}
        self.broken: set[str] = set()
        self.faults: list[grpc.StatusCode] = []

    def called(self, name: str, context) -> None:
        pass

    def CreateReadSession(self, request: types.CreateReadSessionRequest, context) -> types.ReadSession:
        """The emulator's session, of whose one stream each of ours has a part."""
        session = self._real.create_read_session(request)
        [stream] = session.streams
        self._schemas[stream.name] = session.arrow_schema
        session.streams = [types.ReadStream(name=f"{stream.name}/{part}") for part in range(self._many)]
        return session

    def ReadRows(self, request: types.ReadRowsRequest, context) -> Iterator[types.ReadRowsResponse]:
        """The rows of a part, from the request's offset on."""
        name, _, part = request.read_stream.rpartition("/")
        if request.read_stream not in self.broken:
            self._all_are_read.wait()
        schema = pa.ipc.read_schema(pa.py_buffer(self._schemas[name].serialized_schema))
        read = [message.arrow_record_batch.serialized_record_batch for message in self._real.read_rows(name)]
        rows = pa.Table.from_batches([pa.ipc.read_record_batch(pa.py_buffer(batch), schema) for batch in read])
        mine = rows.take(pa.array(range(int(part), len(rows), self._many)))
        for start in range(request.offset, len(mine), PIECE):
            if start and request.read_stream not in self.broken:
                self.broken.add(request.read_stream)
                context.abort(grpc.StatusCode.UNAVAILABLE, "the stream broke off")
            [piece] = mine.slice(start, PIECE).combine_chunks().to_batches()
            batch = types.ArrowRecordBatch(serialized_record_batch=piece.serialize().to_pybytes())
            yield types.ReadRowsResponse(
                arrow_record_batch=batch, row_count=len(piece), arrow_schema=self._schemas[name]
            )


@contextlib.contextmanager
def read_streams(many: int) -> Iterator[tuple[str, ReadStreams]]:
    """One that listens, in front of the emulator that the environment names, and its address."""
    streams = ReadStreams(many)
    server, address = listen(streams, [(SERVICE, types)])
    try:
        yield address, streams
    finally:
        server.stop(0)
