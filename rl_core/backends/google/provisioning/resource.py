"""Functions shared by the resources: lookup, errors, and comparison of the current with the desired state."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from google.api_core.exceptions import Forbidden, NotFound
from google.protobuf.json_format import MessageToDict

from banditloop.rl_core.ports import Resource

T = TypeVar("T")
DISABLED = ("SERVICE_DISABLED", "accessNotConfigured", "has not been used in project")


class Service(Resource, Protocol):
    """A resource that requests can be sent to. `name` is that of its Cloud Run service."""

    name: str

    def url(self) -> str:
        """The service's URL; empty if the service does not exist yet."""


def get_or_none(call: Callable[..., T], **request: Any) -> T | None:
    """The result of a client's `get` method, or None if the resource does not exist."""
    try:
        return call(request=request)
    except NotFound:
        return None


def is_disabled(error: BaseException | None) -> bool:
    """Whether a call was refused because its API is not enabled, or not everywhere yet."""
    return isinstance(error, Forbidden) and any(word in f"{error} {error.reason}" for word in DISABLED)


def changed_fields(current: Any, desired: Any) -> list[str]:
    """The fields of a message whose current value differs from the desired one. Fields that Google adds are ignored."""
    fields = _to_dict(current)
    return [name for name, value in _to_dict(desired).items() if not _matches(fields.get(name), value)]


def _to_dict(message: Any) -> dict[str, Any]:
    return MessageToDict(type(message).pb(message), preserving_proto_field_name=True)


def _matches(current: Any, desired: Any) -> bool:
    """Whether a value equals the desired one, apart from additional keys of dictionaries."""
    if isinstance(desired, dict) and desired and isinstance(current, dict):
        return all(_matches(current.get(key), value) for key, value in desired.items())
    if isinstance(desired, list) and isinstance(current, list):
        return len(current) == len(desired) and all(map(_matches, current, desired))
    return current == desired
