"""Parsing of a request body as a JSON object."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import orjson

from banditloop.rl_core.errors import InvalidInput, did_you_mean

MAX_EVENTS = 10_000  # decisions, rewards or activations per request: each takes kilobytes of memory
VALUES_PER_BRACKET = 4  # that a body may have
COUNTED_BYTES = 256 << 10  # at once: they fit the processor's cache


def read_request(body: bytes, known: Sequence[str], max_brackets: int) -> dict[str, Any]:
    """The JSON object of a request body, which may have the `known` keys; empty where it is JSON of another type.

    Parsing takes tens of bytes of memory for each byte of short values. A body with more than `max_brackets` opening
    ones, or with more than four times as many commas, is therefore not parsed.

    Raises:
        InvalidInput: it is not JSON, has an unknown key, or too many values.
    """
    if len(body) > max_brackets and _has_more_values(body, max_brackets):  # a smaller one cannot have as many
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


def _has_more_values(body: bytes, max_brackets: int) -> bool:
    """Whether a body has too many brackets or commas; counted only until there are."""
    brackets = commas = 0
    characters = np.frombuffer(body, np.uint8)
    for start in range(0, len(body), COUNTED_BYTES):
        part = characters[start : start + COUNTED_BYTES]
        brackets += sum(int(np.count_nonzero(part == ord(bracket))) for bracket in "[{")
        commas += int(np.count_nonzero(part == ord(",")))
        if max(brackets, commas / VALUES_PER_BRACKET) > max_brackets:
            return True
    return False


def check_keys(values: dict[str, Any], known: Collection[str], where: str, note: str = "") -> None:
    """InvalidInput: a key is not one of those known; names the nearest, or all of them after a note."""
    for key in values:
        if key not in known:
            hint = did_you_mean(key[:80], known) or f"{note}the keys are: {', '.join(known)}"
            raise InvalidInput(f"{where}.{key:.80}: is unknown; {hint}")


def check_count(events: int, what: str) -> None:
    """InvalidInput: a request has too many of these events."""
    if events > MAX_EVENTS:
        raise InvalidInput(f"request: {events:,} {what}: at most {MAX_EVENTS:,} are allowed; send several requests")
