"""Parsing of a request body as a JSON object."""

from typing import Any

import orjson

from banditloop.rl_core.errors import InvalidInput


def read_request(body: bytes) -> dict[str, Any]:
    """The JSON object of a request body; empty where the body is JSON of another type.

    Raises:
        InvalidInput: it is not JSON.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"request: not JSON ({error})") from None
    return request if isinstance(request, dict) else {}
