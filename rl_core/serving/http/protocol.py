"""uvicorn's HTTP protocol with less work per request, and with limits on what a connection may send, hold and wait for.

Each connection has one timer for all of its time limits, where uvicorn cancels a timer and starts another for every
request.
What a client sends before its request is authenticated is bounded: the size of a head, the number of its headers and of
pipelined requests, and the number of connections, of which those that wait for their clients are closed.
"""

import asyncio
import math
from collections import deque
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from banditloop.rl_core.serving.http.connections import MAX_CONNECTIONS, make_room
from banditloop.rl_core.serving.http.response import SingleWriteCycle

REQUEST_TIMEOUT_SECONDS = 30.0  # for a request to arrive, or for a response to be read
FIRST_REQUEST_SECONDS = 10.0  # for the first request of a connection to begin
MAX_HEAD_BYTES, MAX_HEADERS = 32 << 10, 100
MAX_PIPELINED = 16  # requests that wait until the one before them is answered
TRAILERS: Any = deque(maxlen=0)  # headers after a body are dropped: they must not count as those of the request
NOT_HTTP = 400, "request: is not valid HTTP"
TOO_LARGE = 431, f"request: its head may have at most {MAX_HEAD_BYTES:,} bytes and {MAX_HEADERS} headers"
TOO_MANY = 429, f"request: at most {MAX_PIPELINED} requests may wait for the answer to one before them"


class SingleWriteProtocol(HttpToolsProtocol):
    """A connection, for an app that sends every response body in one message with its Content-Length."""

    waiting_since: float | None = None  # when it began to wait for its client; None while a request is answered
    _receiving = False  # whether a request has begun and is not complete
    _unparsed = 0  # bytes since the last complete head or part of a body
    _refusal = NOT_HTTP

    def __init__(self, *arguments: Any, max_connections: int = MAX_CONNECTIONS, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._max_connections = max_connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of a new connection, and close others if there are too many."""
        super().connection_made(transport)
        self.waiting_since = self.loop.time()
        self._timer = self.loop.call_later(self.timeout_keep_alive, self._check_time)
        if len(self.connections) > self._max_connections:
            make_room(self.connections, self._max_connections, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer of a closed connection."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what was received, and refuse a head, or a trailer, that has become too large."""
        self._unparsed += len(data)
        super().data_received(data)
        too_large = self._unparsed > MAX_HEAD_BYTES or (self._receiving and len(self.headers) > MAX_HEADERS)
        if too_large:
            self._refusal = TOO_LARGE
            self.send_400_response("")

    def on_headers_complete(self) -> None:
        """Start answering a request, if its head is within the limits."""
        if len(self.headers) > MAX_HEADERS or (self._unparsed > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES):
            self._refusal = TOO_LARGE
            raise ValueError  # stops the parser
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refusal = TOO_MANY
            raise ValueError
        super().on_headers_complete()
        self.headers, self._unparsed = TRAILERS, 0

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """Store a part of a body."""
        super().on_body(body)
        self._unparsed = 0

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, unless the answer would seem to be that of an earlier request; then close."""
        cycle, (status, reason) = self.cycle, self._refusal
        if self.transport.is_closing():
            return
        if not self.pipeline and (cycle is None or cycle.response_complete or cycle.more_body):
            body = orjson.dumps({"error": reason})
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = SingleWriteCycle  # uvicorn names the class it creates: there is no parameter for it
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Start the next pipelined request, or the idle time."""
        if self.pipeline or self.transport.is_closing():
            return super().on_response_complete()
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        if not self._receiving:
            self.waiting_since = self.loop.time()

    def on_message_begin(self) -> None:
        """Limit the time to receive a request that has begun."""
        super().on_message_begin()
        self.waiting_since, self._receiving = self.loop.time(), True

    def on_message_complete(self) -> None:
        """Lift the limit for a complete request; one that is answered already starts the idle time."""
        super().on_message_complete()
        waits = self.cycle.response_complete or self.flow.write_paused
        self.waiting_since, self._receiving = self.loop.time() if waits else None, False
        self._unparsed = 0

    def pause_writing(self) -> None:
        """Limit the time for a client to read its responses."""
        super().pause_writing()
        self.waiting_since = self.loop.time()

    def resume_writing(self) -> None:
        """Lift the limit; the next request is answered."""
        super().resume_writing()
        if not self._receiving and not self.was_answered:
            self.waiting_since = None

    @property
    def was_answered(self) -> bool:
        """Whether the last request that has begun was answered."""
        return self.cycle is not None and self.cycle.response_complete

    def give_up(self) -> None:
        """Answer 408 to a request whose body is awaited; without one, close the connection."""
        if not (self._receiving and self._signal_timeout()):
            self.transport.abort()
        self.waiting_since = self.loop.time()

    def _check_time(self) -> None:
        """Give up if the client takes too long, and schedule the next check."""
        now, since = self.loop.time(), self.waiting_since
        if since is not None and since + self._patience() <= now:
            self.give_up()
            if self.transport.is_closing():
                return
        deadline = math.inf if self.waiting_since is None else self.waiting_since + self._patience()
        self._timer = self.loop.call_at(min(deadline, now + self.timeout_keep_alive), self._check_time)

    def _patience(self) -> float:
        """Seconds for which the connection may wait for its client."""
        if self._receiving or self.transport.get_write_buffer_size():
            return REQUEST_TIMEOUT_SECONDS
        return self.timeout_keep_alive if self.cycle else FIRST_REQUEST_SECONDS

    def _signal_timeout(self) -> bool:
        """Fail the pending body read with a timeout. False if nothing is waiting or it was failed before."""
        cycle = self.cycle
        if not isinstance(cycle, SingleWriteCycle) or not cycle.more_body or cycle.response_complete or cycle.timed_out:
            return False
        cycle.timed_out = True
        cycle.message_event.set()
        return True
