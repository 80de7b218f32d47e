"""uvicorn's HTTP protocol, with less to do for each request.

An answer's head and body are sent as one, where it writes them apart. And a connection has one timer for its keep-alive
timeout, where every request ends one and starts another.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class OneWrite(HttpToolsProtocol):
    """A connection whose writes of one round of the event loop go out together."""

    _resting_since: float | None = None  # the last answer, if nothing was asked since

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
        self._resting_since = self.loop.time()

    def _unset_keepalive_if_required(self) -> None:
        self._resting_since = None

    def _look(self) -> None:
        """Close the connection if it has rested for long enough; else look again when it may have."""
        now = self.loop.time()
        until = (self._resting_since or now) + self.timeout_keep_alive
        if until <= now:
            self.timeout_keep_alive_handler()
        else:
            self._timer = self.loop.call_at(until, self._look)


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
