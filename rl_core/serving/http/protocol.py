"""uvicorn's HTTP protocol with less work per request, and with a timeout for incomplete requests.

The head and the body of a response are sent in one write instead of two, and the app's headers are not validated. Each
connection has one timer for both of its limits, idle time and time to receive a request, where uvicorn cancels a timer
and starts another for every request.
"""

import asyncio
import math
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

REQUEST_TIMEOUT_SECONDS = 30.0
CLOSE = (b"connection", b"close")


class SingleWriteProtocol(HttpToolsProtocol):
    """A connection, for an app that sends every response body in one message with its Content-Length."""

    _deadline: float | None = None  # when the connection has been idle, or a request incomplete, for too long
    _receiving = False  # whether a request has begun and is not complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of a new connection."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.timeout_keep_alive, self._check_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer of a closed connection."""
        self._timer.cancel()
        super().connection_lost(exc)

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
            self._deadline = self.loop.time() + self.timeout_keep_alive

    def on_message_begin(self) -> None:
        """Limit the time to receive a request that has begun."""
        super().on_message_begin()
        self._deadline, self._receiving = self.loop.time() + REQUEST_TIMEOUT_SECONDS, True

    def on_message_complete(self) -> None:
        """Lift the limit for a complete request; one that is answered already starts the idle time."""
        super().on_message_complete()
        answered = self.cycle.response_complete
        self._deadline, self._receiving = self.loop.time() + self.timeout_keep_alive if answered else None, False

    def _check_idle(self) -> None:
        """Close the connection if its deadline has passed; otherwise schedule the next check."""
        now = self.loop.time()
        if self._deadline is not None and self._deadline <= now:
            if not self._receiving:
                return self.timeout_keep_alive_handler()
            if not self._signal_timeout():
                return self.transport.abort()
            self._deadline = now + self.timeout_keep_alive
        next_check = min(self._deadline or math.inf, now + self.timeout_keep_alive)
        self._timer = self.loop.call_at(next_check, self._check_idle)

    def _signal_timeout(self) -> bool:
        """Fail the pending body read with a timeout. False if nothing is waiting or it was failed before."""
        cycle = self.cycle
        if not isinstance(cycle, SingleWriteCycle) or not cycle.more_body or cycle.response_complete or cycle.timed_out:
            return False
        cycle.timed_out = True
        cycle.message_event.set()
        return True


class SingleWriteCycle(RequestResponseCycle):
    """A request and its response, whose head is held back until the body is sent."""

    _head: MutableMapping[str, Any]
    timed_out = False  # the rest of the request did not arrive in time

    async def receive(self) -> Any:
        """The next part of the body; TimeoutError if it did not arrive in time."""
        message = await super().receive()
        if self.timed_out and message.get("more_body"):
            raise TimeoutError
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]
        """Hold back the head of the response, then write it together with the body."""
        if message["type"] == "http.response.start":
            self._head = message
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        self.response_started = self.response_complete = True
        self.message_event.set()
        if self.disconnected:
            return
        headers = self.default_headers + self._head["headers"]
        if CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append(CLOSE)
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        body = b"" if self.scope["method"] == "HEAD" else message["body"]
        self.transport.write(STATUS_LINE[self._head["status"]] + lines + b"\r\n" + body)
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
