"""The endpoint as a bare ASGI app: a table of routes, each with a handler of request bodies.

The routing of a web framework would take a third of the time that a request may take, and is not needed here.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import orjson

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.serving.http.admission import RETRY_AFTER, Admission, HttpError, Message, Receive
from banditloop.rl_core.serving.known_answers import IdConflict

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
MAX_REASON = 2_000  # characters of an error response
log = logging.getLogger("banditloop.web")


class Response(NamedTuple):
    """An HTTP response."""

    content: bytes
    status: int = 200
    headers: Mapping[bytes, bytes] = {}
    media_type: bytes = b"application/json"


class Route(NamedTuple):
    """A handler of request bodies with its HTTP method. A public route needs no token."""

    handler: Callable[[bytes], Awaitable[Response]]
    method: str = "POST"
    public: bool = False


def json_response(content: Any, status: int = 200, headers: Mapping[bytes, bytes] = {}) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(content), status, headers)


def create_app(
    routes: Mapping[str, Route],
    admission: Admission,
    observe: Callable[[str, int, float], object],
    lifespan: Callable[[], AbstractAsyncContextManager[None]],
) -> App:
    """The ASGI app with these routes by path, which runs within the context of `lifespan`.

    `observe` is called with path, status and duration in seconds of every request.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(lifespan, receive, send)
        start, path = time.perf_counter(), scope["path"]
        response = await _respond(routes, admission, scope, receive)
        length = b"%d" % len(response.content)
        headers = [(b"content-type", response.media_type), (b"content-length", length), *response.headers.items()]
        # Before it is sent: a request that was answered is counted, even if this process is killed then.
        observe(path if path in routes else "other", response.status, time.perf_counter() - start)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.content})

    return app


async def _lifespan(lifespan: Callable[[], AbstractAsyncContextManager[None]], receive: Receive, send: Send) -> None:
    await receive()
    async with lifespan():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _respond(routes: Mapping[str, Route], admission: Admission, scope: Scope, receive: Receive) -> Response:
    try:
        route = _route(routes, scope["path"], scope["method"])
        if not route.public:
            admission.authenticate(scope["headers"])
        if route.method == "GET":
            return await route.handler(b"")  # not limited: an overloaded endpoint still answers health checks
        body = await admission.read_body(scope["headers"], receive)
        try:
            return await route.handler(body)
        finally:
            admission.release(len(body))
    except Exception as error:
        return _error_response(scope["path"], error)


def _route(routes: Mapping[str, Route], path: str, method: str) -> Route:
    route = routes.get(path)
    if route is None:
        raise HttpError(404, f"{path:.80}: is not one of: {', '.join(routes)}")
    if method != route.method:
        raise HttpError(405, f"{path}: use {route.method}", {b"allow": route.method.encode()})
    return route


def _error_response(path: str, error: Exception) -> Response:
    """4xx for an error of the client, 503 if the disk refuses events (retry later), 500 for any other error."""
    if isinstance(error, HttpError):
        return json_response({"error": str(error)}, error.status, error.headers)
    if isinstance(error, InvalidInput):
        return json_response({"error": str(error)[:MAX_REASON]}, 409 if isinstance(error, IdConflict) else 400)
    if isinstance(error, OSError):
        log.error("%s: events cannot be stored: %s", path, error)
        return json_response({"error": "events cannot be stored at the moment; retry later"}, 503, RETRY_AFTER)
    log.error("%s: failed", path, exc_info=error)
    return json_response({"error": "internal error; see the endpoint's log"}, 500)
