"""The guard before the endpoint: who may ask, how much, and how much at a time.

The token is $BANDITLOOP_TOKEN, or what the file $BANDITLOOP_TOKEN_FILE holds. It is never in a config, which travels
through pipeline parameters, and never logged.
"""

import asyncio
import hmac
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from rl_core.errors import InvalidInput

TOKEN, TOKEN_FILE = "BANDITLOOP_TOKEN", "BANDITLOOP_TOKEN_FILE"
LARGEST_BODY = 32 << 20  # bytes; 10,000 observations of 100 numbers take about 20 MB
ROOM = 256 << 20  # bytes of bodies at a time
AT_ONCE = 1000  # requests
BODY_SECONDS = 30.0
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Headers = Mapping[bytes, bytes]


COME_AGAIN = {b"retry-after": b"1"}
NAME_YOURSELF = {b"www-authenticate": b"Bearer"}


class Refused(Exception):
    """A request that is not answered, with the status and the reason. Its connection is closed, body unread."""

    def __init__(self, status: int, reason: str, headers: Headers = MappingProxyType({})) -> None:
        super().__init__(reason)
        self.status, self.headers = status, {b"connection": b"close"} | dict(headers)


def token() -> str | None:
    """The token that the environment gives, or None where the endpoint is open."""
    if path := os.environ.get(TOKEN_FILE):
        try:
            found = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"${TOKEN_FILE} = {path!r}: {error}") from None
    else:
        found = os.environ.get(TOKEN, "")
    if (path or TOKEN in os.environ) and not (found and found.isascii() and found.isprintable()):
        raise InvalidInput(f"${TOKEN_FILE if path else TOKEN}: a token is one line of printable ASCII, not empty")
    return found or None


class Guard:
    """Lets in who has the token, with no body larger than `largest` bytes, as long as there is `room` for it."""

    def __init__(self, token: str | None, largest: int = LARGEST_BODY, room: int = ROOM, at_once: int = AT_ONCE):
        self._expected = f"Bearer {token}".encode() if token else None
        self._largest, self._room, self._at_once = largest, room, at_once
        self.bytes = self.requests = 0  # inside at the moment

    def admit(self, headers: Headers, open_to_all: bool = False) -> "Admission":
        """Let a request in, whose body is still to come.

        Raises:
            Refused: 401 without the token; 413 where the body is too large; 429 where there is no room.
        """
        if not (open_to_all or self._knows(headers.get(b"authorization", b""))):
            raise Refused(401, "give the endpoint's token as Authorization: Bearer TOKEN", NAME_YOURSELF)
        if self.requests >= self._at_once:
            raise Refused(429, f"{self._at_once:,} requests are being answered; come again", COME_AGAIN)
        length = int(headers.get(b"content-length", b"0"))
        self.check(length, length)
        return Admission(self)

    def check(self, size: int, to_come: int = 0) -> None:
        """Refuse a body of `size` bytes where that is too large, or the bytes to come find no room."""
        if size > self._largest:
            raise Refused(413, f"a request may have {self._largest:,} bytes; ask for fewer instances at a time")
        if self.bytes + to_come > self._room:
            raise Refused(429, "there is no room for more at the moment; come again", COME_AGAIN)

    def _knows(self, given: bytes) -> bool:
        return self._expected is None or hmac.compare_digest(given, self._expected)


class Admission:
    """A request that was let in, until the block ends."""

    def __init__(self, guard: Guard) -> None:
        self._guard, self._size = guard, 0

    def __enter__(self) -> Self:
        self._guard.requests += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._guard.requests -= 1
        self._guard.bytes -= self._size

    async def body(self, receive: Receive) -> bytes:
        """The whole body, whatever was said of its length.

        Raises:
            Refused: as the guard's `admit`; 408 where it does not come.
        """
        first = await receive()
        if not first.get("more_body"):
            return self._take(first)
        parts = [self._take(first)]
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while first.get("more_body"):
                    parts.append(self._take(first := await receive()))
        except TimeoutError:
            raise Refused(408, f"the body has not come within {BODY_SECONDS:g} s") from None
        return b"".join(parts)

    def _take(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            raise Refused(400, "the body ends before its end")
        part = message.get("body", b"")
        self._size += len(part)
        self._guard.bytes += len(part)
        self._guard.check(self._size)
        return part
