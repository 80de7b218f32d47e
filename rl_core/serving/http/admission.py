"""Admission control of the endpoint: authentication, body size limits and load shedding."""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

MAX_BODY_BYTES = 32 << 20  # 10,000 observations of 100 numbers take about 20 MB
MAX_BYTES_IN_FLIGHT = 128 << 20  # of all bodies together
MAX_REQUESTS_IN_FLIGHT = 1000
SLOW_SECONDS = 2.0  # a body that has been arriving for longer makes room for others
ARRIVING_FRACTION = 7 / 8  # of all bytes; the rest is for bodies that arrive in one piece
RETRY_AFTER = {b"retry-after": b"1"}
BEARER_CHALLENGE = {b"www-authenticate": b"Bearer"}
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Headers = Mapping[bytes, bytes]
RawHeaders = Iterable[tuple[bytes, bytes]]


class HttpError(Exception):
    """An error response with its status and reason. The connection is closed without reading the rest of the body."""

    def __init__(self, status: int, reason: str, headers: Headers = MappingProxyType({})) -> None:
        super().__init__(reason)
        self.status, self.headers = status, {b"connection": b"close"} | dict(headers)


@dataclass(eq=False)
class Upload:
    """A body that is arriving: since when, what ends it early, and its bytes so far."""

    since: float
    timeout: asyncio.Timeout
    size: int = 0


class Admission:
    """Checks the bearer token (None: the guard checks instead), the size of a body and what is in flight altogether."""

    def __init__(
        self,
        token: str | None,
        guard: Callable[[RawHeaders], object] | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_bytes_in_flight: int = MAX_BYTES_IN_FLIGHT,
        max_requests_in_flight: int = MAX_REQUESTS_IN_FLIGHT,
    ):
        self._token, self._guard = token.encode() if token else None, guard
        self._max_body_bytes = max_body_bytes
        self._max_bytes_in_flight, self._max_requests_in_flight = max_bytes_in_flight, max_requests_in_flight
        self.bytes_in_flight = self.requests_in_flight = 0
        self._uploads: list[Upload] = []  # the oldest first

    def authenticate(self, headers: RawHeaders) -> None:
        """Check the token of a request or, where none is needed, that it does not come from a foreign web page.

        Raises:
            HttpError: 401 if the token is missing, wrong or given twice; what the guard refuses.
        """
        if self._token is not None:
            values = [value for name, value in headers if name == b"authorization"]
            scheme, _, credentials = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(credentials.strip(b" "), self._token):
                raise HttpError(401, "send the endpoint's token as Authorization: Bearer TOKEN", BEARER_CHALLENGE)
        elif self._guard:
            self._guard(headers)

    async def read_body(self, headers: RawHeaders, receive: Receive) -> bytes:
        """The whole body of a request, which is in flight until its `release`.

        While it arrives, only its bytes count as in flight; once it is complete, the request does, too.

        Raises:
            HttpError: 413 if it is too large, whatever its Content-Length; 429 if too much is in flight; 408 if its
                rest does not arrive in time; 400 if the client disconnects.
        """
        if self.requests_in_flight >= self._max_requests_in_flight:
            raise HttpError(429, f"{self._max_requests_in_flight:,} requests are in flight; retry later", RETRY_AFTER)
        content_length = int(dict(headers).get(b"content-length", 0))
        self._check_size(content_length)
        self._make_room(content_length)
        try:
            message = await receive()
            if message.get("more_body", True):  # or the client has disconnected
                body = await self._read_parts(message, receive)
            else:
                body = message["body"]
                self._check_size(len(body))
        except TimeoutError:
            raise HttpError(408, "the request body did not arrive in time") from None
        self._make_room(len(body))
        self.requests_in_flight += 1
        self.bytes_in_flight += len(body)
        return body

    def release(self, size: int) -> None:
        """Count a request with a body of `size` bytes as no longer in flight."""
        self.requests_in_flight -= 1
        self.bytes_in_flight -= size

    async def _read_parts(self, message: Message, receive: Receive) -> bytes:
        """A body of several parts, `message` the first. TimeoutError: it takes too long, and others need its room."""
        chunks: list[bytes] = []
        async with asyncio.timeout(None) as timeout:
            upload = Upload(time.monotonic(), timeout)
            self._uploads.append(upload)
            try:
                while True:
                    if message["type"] == "http.disconnect":
                        raise HttpError(400, "the client disconnected before the end of the body")
                    chunks.append(message["body"])
                    upload.size += len(chunks[-1])
                    self.bytes_in_flight += len(chunks[-1])
                    self._check_size(upload.size)
                    self._make_room(0, ARRIVING_FRACTION)
                    if not message["more_body"]:
                        return b"".join(chunks)
                    message = await receive()
            finally:
                self._drop(upload)

    def _drop(self, upload: Upload) -> None:
        """Count a body as no longer arriving."""
        self.bytes_in_flight -= upload.size
        upload.size = 0
        if upload in self._uploads:
            self._uploads.remove(upload)

    def _make_room(self, size: int, fraction: float = 1.0) -> None:
        """Let the bodies that have been arriving for too long make room for `size` more bytes, or raise 429.

        fraction: how much of all the bytes may be taken.
        """
        while self.bytes_in_flight + size > self._max_bytes_in_flight * fraction:
            slowest = self._uploads[0] if self._uploads else None
            if slowest is None or time.monotonic() - slowest.since < SLOW_SECONDS:
                raise HttpError(429, "too many bytes are in flight; retry later", RETRY_AFTER)
            self._drop(slowest)
            slowest.timeout.reschedule(0)

    def _check_size(self, size: int) -> None:
        if size > self._max_body_bytes:
            limit = f"a body may have at most {self._max_body_bytes:,} bytes"
            raise HttpError(413, f"{limit}; send fewer instances per request")
