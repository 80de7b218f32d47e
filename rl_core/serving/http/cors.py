"""Cross-origin resource sharing: web pages of configured origins may call the endpoint from a browser."""

from collections.abc import Sequence

from banditloop.rl_core.serving.http.admission import Message, Receive
from banditloop.rl_core.serving.http.app import App, Scope, Send
from banditloop.rl_core.serving.http.web_guard import ANY_ORIGIN

PREFLIGHT_HEADERS = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
]


def with_cors(app: App, origins: Sequence[str]) -> App:
    """The app, answering browsers' preflight requests, for pages of these origins; '*' allows all."""
    allowed = {origin.encode() for origin in origins}

    async def cors_app(scope: Scope, receive: Receive, send: Send) -> None:
        origin = dict(scope["headers"]).get(b"origin") if scope["type"] == "http" else None
        if origin is None or not ({ANY_ORIGIN.encode(), origin} & allowed):
            return await app(scope, receive, send)
        headers = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        if scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": headers + PREFLIGHT_HEADERS})
            return await send({"type": "http.response.body", "body": b""})

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        return await app(scope, receive, send_with_headers)

    return cors_app if allowed else app
