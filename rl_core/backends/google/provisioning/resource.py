"""What the resources of a loop have in common, and how what is there is compared with what should be."""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar

from google.api_core.exceptions import NotFound
from google.protobuf.json_format import MessageToDict

State = Literal["there", "missing", "changed", "later"]
Found = TypeVar("Found")


class Resource(Protocol):
    """One thing in a project; its text says which. Everything may be called again."""

    def state(self) -> State:
        """Whether it is there and as it should be; `later` where the loop itself makes it once it runs."""

    def make(self) -> None:
        """Make it, or mend what is there."""

    def remove(self) -> bool:
        """Remove it. False where it stays, for it is not the loop's own."""


def found(call: Callable[..., Found], **request: Any) -> Found | None:
    """What a client's method finds, or None."""
    try:
        return call(request=request)
    except NotFound:
        return None


def differing(there: Any, wanted: Any) -> list[str]:
    """The fields of a message that are not as wanted. What Google has added by itself is none of them."""
    fields = _plain(there)
    return [name for name, value in _plain(wanted).items() if not _holds(fields.get(name), value)]


def _plain(message: Any) -> dict[str, Any]:
    return MessageToDict(type(message).pb(message), preserving_proto_field_name=True)


def _holds(there: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and wanted and isinstance(there, dict):
        return all(_holds(there.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(there, list):
        return len(there) == len(wanted) and all(map(_holds, there, wanted))
    return there == wanted
