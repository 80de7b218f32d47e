"""uvicorn's HTTP protocol, with less to do for each request, and an end to requests that do not come.

An answer's head and body are sent as one, where it writes them apart, and the app is trusted with its headers. And a
connection has one timer, where every request ends one and starts another: for how long it may rest, and for how long a
request may be on its way.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

COMING_SECONDS, FOR_EVER = 30.0, float("inf")
CLOSE = (b"connection", b"close")


class OneWrite(HttpToolsProtocol):
    """A connection, for an app whose answers have one body, whose length it tells."""

    _until: float | None = None  # when it has rested, or waited for the rest of a request, for too long
    _coming = False  # a request of which there is a part

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.timeout_keep_alive, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = _WholeAnswer  # uvicorn makes it by its name
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on to the next request of a pipeline, or rest until there is one."""
        if self.pipeline or self.transport.is_closing():
            return super().on_response_complete()
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        if not self._coming:
            self._until = self.loop.time() + self.timeout_keep_alive

    def on_message_begin(self) -> None:
        """Expect the rest of a request."""
        super().on_message_begin()
        self._until, self._coming = self.loop.time() + COMING_SECONDS, True

    def on_message_complete(self) -> None:
        """Take as long as it takes to answer a request that is there, if it is not answered already."""
        super().on_message_complete()
        answered = self.cycle.response_complete
        self._until, self._coming = self.loop.time() + self.timeout_keep_alive if answered else None, False

    def _look(self) -> None:
        """Close the connection if it is time; else look again when it may be."""
        now = self.loop.time()
        if self._until is not None and self._until <= now:
            if not self._coming:
                return self.timeout_keep_alive_handler()
            if not self._told():
                return self.transport.abort()
            self._until = now + self.timeout_keep_alive
        self._timer = self.loop.call_at(min(self._until or FOR_EVER, now + self.timeout_keep_alive), self._look)

    def _told(self) -> bool:
        """Tell who waits for the rest of a request that it does not come; False where nobody does, or knows it."""
        cycle = self.cycle
        if not isinstance(cycle, _WholeAnswer) or not cycle.more_body or cycle.response_complete or cycle.late:
            return False
        cycle.late = True
        cycle.message_event.set()
        return True


class _WholeAnswer(RequestResponseCycle):
    """A request and its answer, which waits for its body and is then written."""

    _head: MutableMapping[str, Any]
    late = False  # its rest does not come

    async def receive(self) -> Any:
        message = await super().receive()
        if self.late and message.get("more_body"):
            raise TimeoutError
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]
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
