"""Versions and runs by any prefix that only one of them has."""

from collections.abc import Sequence

from banditloop.rl_core.errors import InvalidInput, nearest
from banditloop.rl_core.ports import Endpoint, Runner

SHOWN = 5  # names in a message


def find_version(endpoint: Endpoint, text: str) -> str:
    """The version that a text names. InvalidInput: none, or several."""
    return find("version", text, [manifest.version for manifest in endpoint.versions()], "the endpoint")


def find_run(runner: Runner, text: str) -> str:
    """The id of the run that a text names. InvalidInput: none, or several."""
    return find("run", text, [run.run_id for run in runner.runs()], "the loop")


def find(kind: str, text: str, names: Sequence[str], owner: str) -> str:
    """The name that equals a text, or the only one that begins with it.

    Raises:
        InvalidInput: none or several do; names the nearest or the several.
    """
    matches = [text] if text in names else [name for name in names if text and name.startswith(text)]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise InvalidInput(f"{kind} {text!r}: there is no such {kind}; {nearest(text, names[::-1], owner)}")
    more = f" and {len(matches) - SHOWN:,} more" if len(matches) > SHOWN else ""
    raise InvalidInput(f"{kind} {text!r}: could be {', '.join(matches[:SHOWN])}{more}; give more of its name")
