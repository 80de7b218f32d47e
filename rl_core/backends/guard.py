"""The guard before the endpoint: who may ask, how much, and how much at a time.

The token is $BANDITLOOP_TOKEN, or what the file $BANDITLOOP_TOKEN_FILE holds. It is never in a config, which travels
through pipeline parameters, and never logged.
"""

import hmac
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rl_core.errors import InvalidInput

TOKEN, TOKEN_FILE = "BANDITLOOP_TOKEN", "BANDITLOOP_TOKEN_FILE"
LARGEST_BODY = 32 << 20  # bytes; 10,000 observations of 100 numbers take about 20 MB
ROOM = 256 << 20  # bytes of bodies at a time
AT_ONCE = 1000  # requests
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

    def admit(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Refuse a request without the token."""
        if self._expected is not None:
            given = dict(headers).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                raise Refused(401, "give the endpoint's token as Authorization: Bearer TOKEN", NAME_YOURSELF)

    async def body(self, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> bytes:
        """The whole body of a request, which takes room until it has `left`.

        Raises:
            Refused: 413 where it is too large, whatever was said of its length; 429 where there is no room for it; 408
                where its rest does not come.
        """
        if self.requests >= self._at_once:
            raise Refused(429, f"{self._at_once:,} requests are being answered; come again", COME_AGAIN)
        length = int(dict(headers).get(b"content-length", 0))
        self._check(length, length)
        self.requests += 1
        parts, size, more = [], 0, True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "the body ends before its end")
                parts.append(message["body"])
                more = message["more_body"]
                size += len(parts[-1])
                self.bytes += len(parts[-1])
                self._check(size, 0)
        except BaseException as error:
            self.left(size)
            if isinstance(error, TimeoutError):
                raise Refused(408, "the request stops on its way") from None
            raise
        return b"".join(parts)

    def left(self, size: int) -> None:
        """Give back the room of a body."""
        self.requests -= 1
        self.bytes -= size

    def _check(self, size: int, to_come: int) -> None:
        if size > self._largest:
            raise Refused(413, f"a request may have {self._largest:,} bytes; ask for fewer instances at a time")
        if self.bytes + to_come > self._room:
            raise Refused(429, "there is no room for more at the moment; come again", COME_AGAIN)
