"""python -m tests.benchmarks.constant PORT: an app with a constant response, the baseline.

It runs on the same server with the same settings as the predictor, and its response has the same length.
"""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]
ANSWER = (
    b'{"predictions":[{"event_id":"0123456789abcdef0123456700000000","action":10,'
    b'"propensity":0.9049999713897705,"policy_version":"v1-00000000"}]}'
)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


async def answer(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


if __name__ == "__main__":
    uvicorn.run(answer, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", access_log=False, log_level="warning")
