"""The two errors that are reported in one line, without a traceback: invalid input and platform failures."""

import difflib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

MAX_COMPARED = 1_000  # names compared with a misspelt one, in some milliseconds


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


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A hint at the one of the names that was probably meant; empty if none is near."""
    close = difflib.get_close_matches(name, islice(names, MAX_COMPARED), n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def nearest(name: str, names: Iterable[str], owner: str = "the task") -> str:
    """A hint at the name that was probably meant, or else at those that the owner has."""
    names = list(islice(names, MAX_COMPARED))
    if hint := did_you_mean(name, names):
        return hint
    return f"{owner} has: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}" if names else f"{owner} has none"
