"""The two errors that are reported in one line, without a traceback: invalid input and platform failures."""

from collections.abc import Iterator
from typing import Any


class InvalidInput(ValueError):
    """Invalid input. The message names the key or location, the value, and what would be right.

    The command line prints it as one line and exits with 2; the endpoint answers 400.
    """


class PlatformError(OSError):
    """The platform failed or refused the call; retrying later may succeed. The message contains the platform's own.

    The command line prints it as one line and exits with 1.
    """


def brief(value: Any, length: int = 80) -> str:
    """A value as Python writes it, cut off after `length` characters, in time that does not depend on its size."""
    text = ""
    for part in _parts(value, length):
        text += part
        if len(text) > length:
            return text[: length - 3] + "..."
    return text


def _parts(value: Any, length: int) -> Iterator[str]:
    """The representation of JSON values in parts, each of few more than `length` characters."""
    if isinstance(value, list):
        yield "["
        for position, item in enumerate(value):
            yield ", " if position else ""
            yield from _parts(item, length)
        yield "]"
    elif isinstance(value, dict):
        yield "{"
        for position, (key, item) in enumerate(value.items()):
            yield ", " if position else ""
            yield from _parts(key, length)
            yield ": "
            yield from _parts(item, length)
        yield "}"
    else:
        yield repr(value[: length + 1] if isinstance(value, str | bytes) else value)
