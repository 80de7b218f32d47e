"""Checks of an endpoint without a token: no web page may use it through the browser of someone who can reach it."""

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from banditloop.rl_core.serving.http.admission import HttpError

ANY_ORIGIN = "*"
CHECKED = frozenset([b"content-type", b"origin", b"host"])
JSON = b"application/json"  # the content types of forms and plain texts need no permission to cross origins


class WebGuard:
    """Refuses requests of web pages, except those of these origins; '*' allows all.

    A request's Origin must be one of these. On a loopback address, its Host must be a loopback one or the host of one
    of these: a page could otherwise reach it under the page's own name (DNS rebinding). On other addresses, the host
    names are the network's or a proxy's, and not known here.
    """

    def __init__(self, origins: Sequence[str], listener: socket.socket) -> None:
        self._open = ANY_ORIGIN in origins
        self._origins = {origin.encode() for origin in origins}
        self._hosts = {urlsplit(origin).hostname for origin in origins}
        self._any_host = not _is_loopback(listener.getsockname()[0])

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Check the headers of a request.

        Raises:
            HttpError: 403 for a foreign Origin or Host, 415 for a Content-Type other than JSON.
        """
        for name, value in headers:
            if name not in CHECKED:
                continue
            if name == b"content-type" and value != JSON and value.partition(b";")[0].strip().lower() != JSON:
                raise HttpError(415, f"Content-Type: {_text(value)}: send application/json")
            if self._open:
                continue
            if name == b"origin" and value not in self._origins:
                raise HttpError(403, f"Origin: {_text(value)}: is not in serving.cors_origins")
            if name == b"host" and not self._is_own(_hostname(value)):
                raise HttpError(403, f"Host: {_text(value)}: use a loopback one, or set $BANDITLOOP_TOKEN")

    def _is_own(self, host: str) -> bool:
        return self._any_host or host in self._hosts or _is_loopback(host)


@lru_cache(maxsize=1000)
def _hostname(value: bytes) -> str:
    """The host of a Host header, without its port."""
    try:
        return urlsplit(f"//{value.decode('latin-1')}").hostname or ""
    except ValueError:
        return ""


@lru_cache(maxsize=1000)
def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _text(value: bytes) -> str:
    return value[:80].decode("latin-1")
