"""The endpoint's web side as a bare ASGI app: routes, each of them a function of the request's body.

A framework's routing costs a third of what a request may cost in all, and nothing here needs it.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import orjson

from rl_core.backends.guard import COME_AGAIN, Guard, Message, Receive, Refused
from rl_core.errors import InvalidInput

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
log = logging.getLogger("banditloop.web")


class Reply(NamedTuple):
    """What a route answers."""

    content: bytes
    status: int = 200
    headers: Mapping[bytes, bytes] = {}
    media: bytes = b"application/json"


class Route(NamedTuple):
    """A function of the body, and how it may be asked."""

    answer: Callable[[bytes], Awaitable[Reply]]
    method: str = "POST"
    open_to_all: bool = False  # without the token


def json(content: Any, status: int = 200, headers: Mapping[bytes, bytes] = {}) -> Reply:
    """A reply in JSON."""
    return Reply(orjson.dumps(content), status, headers)


def create_app(
    routes: Mapping[str, Route],
    guard: Guard,
    observe: Callable[[str, int, float], object],
    living: Callable[[], AbstractAsyncContextManager[None]],
) -> App:
    """The app that answers routes by their path, within `living`.

    `observe` is told path, status and seconds of every request.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _live(living, receive, send)
        start, path = time.perf_counter(), scope["path"]
        reply = await _reply(routes, guard, scope, receive)
        length = b"%d" % len(reply.content)
        headers = [(b"content-type", reply.media), (b"content-length", length), *reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.content})
        observe(path if path in routes else "other", reply.status, time.perf_counter() - start)

    return app


async def _live(living: Callable[[], AbstractAsyncContextManager[None]], receive: Receive, send: Send) -> None:
    await receive()
    async with living():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _reply(routes: Mapping[str, Route], guard: Guard, scope: Scope, receive: Receive) -> Reply:
    try:
        route = _route(routes, scope["path"], scope["method"])
        if not route.open_to_all:
            guard.admit(scope["headers"])
        if route.method == "GET":
            return await route.answer(b"")  # takes no room, so that a busy endpoint still says that it is well
        body = await guard.body(scope["headers"], receive)
        try:
            return await route.answer(body)
        finally:
            guard.left(len(body))
    except Exception as error:
        return _failure(scope["path"], error)


def _route(routes: Mapping[str, Route], path: str, method: str) -> Route:
    route = routes.get(path)
    if route is None:
        raise Refused(404, f"{path:.80}: is not one of: {', '.join(routes)}")
    if method != route.method:
        raise Refused(405, f"{path} is asked with {route.method}", {b"allow": route.method.encode()})
    return route


def _failure(path: str, error: Exception) -> Reply:
    """4xx for the caller's mistake; 503, to come again, where the disk takes nothing."""
    if isinstance(error, Refused):
        return json({"error": str(error)}, error.status, error.headers)
    if isinstance(error, InvalidInput):
        return json({"error": str(error)}, 400)
    if isinstance(error, OSError):
        log.error("%s: events cannot be kept: %s", path, error)
        return json({"error": "events cannot be kept at the moment"}, 503, COME_AGAIN)
    log.error("%s: failed", path, exc_info=error)
    return json({"error": "the endpoint failed; its log says how"}, 500)
