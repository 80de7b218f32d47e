"""uvicorn's responses in one write each: the head is held back until the body is sent. Headers are not validated."""

from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

CLOSE = (b"connection", b"close")


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
        if self.disconnected or self.transport.is_closing():  # the former is set for the latest request only
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
