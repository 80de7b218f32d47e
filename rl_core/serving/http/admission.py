"""Admission control of the endpoint: authentication, body size limits and load shedding."""

import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any

MAX_BODY_BYTES = 32 << 20  # 10,000 observations of 100 numbers take about 20 MB
MAX_BYTES_IN_FLIGHT = 256 << 20  # of all bodies together
MAX_REQUESTS_IN_FLIGHT = 1000
RETRY_AFTER = {b"retry-after": b"1"}
BEARER_CHALLENGE = {b"www-authenticate": b"Bearer"}
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Headers = Mapping[bytes, bytes]


class HttpError(Exception):
    """An error response with its status and reason. The connection is closed without reading the rest of the body."""

    def __init__(self, status: int, reason: str, headers: Headers = MappingProxyType({})) -> None:
        super().__init__(reason)
        self.status, self.headers = status, {b"connection": b"close"} | dict(headers)


class Admission:
    """Checks the bearer token (None: open to all) and limits the size of a body and what is in flight altogether."""

    def __init__(
        self,
        token: str | None,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_bytes_in_flight: int = MAX_BYTES_IN_FLIGHT,
        max_requests_in_flight: int = MAX_REQUESTS_IN_FLIGHT,
    ):
        self._expected = f"Bearer {token}".encode() if token else None
        self._max_body_bytes = max_body_bytes
        self._max_bytes_in_flight, self._max_requests_in_flight = max_bytes_in_flight, max_requests_in_flight
        self.bytes_in_flight = self.requests_in_flight = 0

    def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Check the token of a request.

        Raises:
            HttpError: 401 if it is missing or wrong.
        """
        if self._expected is not None:
            authorization = dict(headers).get(b"authorization", b"")
            if not hmac.compare_digest(authorization, self._expected):
                raise HttpError(401, "send the endpoint's token as Authorization: Bearer TOKEN", BEARER_CHALLENGE)

    async def read_body(self, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> bytes:
        """The whole body of a request, which is in flight until its `release`.

        Raises:
            HttpError: 413 if it is too large, whatever its Content-Length; 429 if too much is in flight; 408 if its
                rest does not arrive in time; 400 if the client disconnects.
        """
        if self.requests_in_flight >= self._max_requests_in_flight:
            raise HttpError(429, f"{self._max_requests_in_flight:,} requests are in flight; retry later", RETRY_AFTER)
        content_length = int(dict(headers).get(b"content-length", 0))
        self._check_limits(content_length, content_length)
        self.requests_in_flight += 1
        chunks, size, more_body = [], 0, True
        try:
            while more_body:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HttpError(400, "the client disconnected before the end of the body")
                chunks.append(message["body"])
                more_body = message["more_body"]
                size += len(chunks[-1])
                self.bytes_in_flight += len(chunks[-1])
                self._check_limits(size, 0)
        except BaseException as error:
            self.release(size)
            if isinstance(error, TimeoutError):
                raise HttpError(408, "the request body did not arrive in time") from None
            raise
        return b"".join(chunks)

    def release(self, size: int) -> None:
        """Count a request with a body of `size` bytes as no longer in flight."""
        self.requests_in_flight -= 1
        self.bytes_in_flight -= size

    def _check_limits(self, body_bytes: int, expected_bytes: int) -> None:
        """Check a body's size, and the bytes in flight with `expected_bytes` added."""
        if body_bytes > self._max_body_bytes:
            limit = f"a body may have at most {self._max_body_bytes:,} bytes"
            raise HttpError(413, f"{limit}; send fewer instances per request")
        if self.bytes_in_flight + expected_bytes > self._max_bytes_in_flight:
            raise HttpError(429, "too many bytes are in flight; retry later", RETRY_AFTER)
