"""uvicorn's HTTP protocol, with less to do for each request, and an end to requests that do not come.

An answer's head and body are sent as one, where it writes them apart. And a connection has one timer, where every
request ends one and starts another: for how long it may rest, and for how long a request may be on its way.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

COMING_SECONDS = 30.0
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class OneWrite(HttpToolsProtocol):
    """A connection whose writes of one round of the event loop go out together."""

    _until: float | None = None  # when it has rested, or waited for the rest of a request, for too long
    _coming = False  # a request of which there is a part

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection."""
        super().connection_made(_Gathering(transport, self.loop))  # type: ignore[arg-type]
        self._timer = self.loop.call_later(self.timeout_keep_alive, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        self._timer.cancel()
        super().connection_lost(exc)

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
        """Take as long as it takes to answer a request that is there."""
        super().on_message_complete()
        self._until, self._coming = None, False

    def _look(self) -> None:
        """Close the connection if it is time; else look again when it may be."""
        now = self.loop.time()
        until = self._until or now + self.timeout_keep_alive
        if until > now:
            self._timer = self.loop.call_at(until, self._look)
        else:
            if self._coming:
                self.transport.write(TOO_SLOW)
            self.timeout_keep_alive_handler()


class _Gathering:
    """A transport that keeps what is written until the round ends."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self.is_closing = transport.is_closing  # asked for every answer, and __getattr__ is slow
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, part: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(part)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._transport.write(b"".join(parts))
