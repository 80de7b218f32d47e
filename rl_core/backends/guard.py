"""The guard before the endpoint: a bearer token where one is set, and no body larger than it need be.

The token is $BANDITLOOP_TOKEN, or what the file $BANDITLOOP_TOKEN_FILE holds. It is never in a config, which travels
through pipeline parameters, and never logged.
"""

import hmac
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import orjson

from rl_core.errors import InvalidInput

TOKEN, TOKEN_FILE = "BANDITLOOP_TOKEN", "BANDITLOOP_TOKEN_FILE"
LARGEST_BODY = 32 << 20  # bytes; 10,000 observations of 100 numbers take about 20 MB
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


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
    """An ASGI app before another one: 401 without the token, 413 for a large body. `open_route` needs no token."""

    def __init__(self, app: App, token: str | None, open_route: str, largest: int = LARGEST_BODY) -> None:
        self._app, self._open_route, self._largest = app, open_route, largest
        self._expected = f"Bearer {token}".encode() if token else None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer, or let the app answer."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        if scope["path"] != self._open_route and not self._knows(headers.get(b"authorization", b"")):
            return await _refuse(send, 401, "give the endpoint's token as Authorization: Bearer TOKEN")
        length = int(headers.get(b"content-length", b"0"))
        body = None if length > self._largest else await self._read(receive)
        if body is None:
            reason = f"a request may have {self._largest:,} bytes; ask for fewer instances at a time"
            return await _refuse(send, 413, reason)
        await self._app(scope, _replaying(body, receive), send)

    def _knows(self, given: bytes) -> bool:
        return self._expected is None or hmac.compare_digest(given, self._expected)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body, or None where it is too large, whatever it says of its length."""
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            size, more = size + len(parts[-1]), message.get("more_body", False)
            if size > self._largest:
                return None
        return b"".join(parts)


def _replaying(body: bytes, receive: Receive) -> Receive:
    """`receive` for an app behind one that has read the body."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay


async def _refuse(send: Send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps({"error": reason})})
