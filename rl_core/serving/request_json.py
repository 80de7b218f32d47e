"""Parsing of a request body as a JSON object."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from banditloop.rl_core.errors import InvalidInput

MAX_EVENTS = 10_000  # decisions, rewards or activations per request: each takes kilobytes of memory
VALUES_PER_BRACKET = 4  # that a body may have


def read_request(body: bytes, known: Sequence[str], max_brackets: int) -> dict[str, Any]:
    """The JSON object of a request body, which may have the `known` keys; empty where it is JSON of another type.

    Parsing takes tens of bytes of memory for each byte of short values. A body with more than `max_brackets` opening
    ones, or with more than four times as many commas, is therefore not parsed.

    Raises:
        InvalidInput: it is not JSON, has an unknown key, or too many values.
    """
    if len(body) > max_brackets:  # a smaller one cannot have too many
        characters = np.frombuffer(body, np.uint8)
        brackets = sum(np.count_nonzero(characters == ord(character)) for character in "[{")
        if max(brackets, np.count_nonzero(characters == ord(",")) / VALUES_PER_BRACKET) > max_brackets:
            raise InvalidInput(
                f"request: may have at most {max_brackets:,} lists and objects, and {VALUES_PER_BRACKET} times as many "
                "values; send several requests"
            )
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"request: not JSON ({error})") from None
    if not isinstance(request, dict):
        return {}
    check_keys(request, known, "request")
    return request


def check_keys(values: dict[str, Any], known: Sequence[str], where: str) -> None:
    """InvalidInput: a key is not one of those known."""
    if (unknown := next((key for key in values if key not in known), None)) is not None:
        raise InvalidInput(f"{where}.{unknown:.80}: is unknown; the keys are: {', '.join(known)}")


def check_count(events: int, what: str) -> None:
    """InvalidInput: a request has too many of these events."""
    if events > MAX_EVENTS:
        raise InvalidInput(f"request: {events:,} {what}: at most {MAX_EVENTS:,} are allowed; send several requests")
