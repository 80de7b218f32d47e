"""The types of features in requests and in tables of actions, against which Pydantic validates them, by their kinds."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, with_config
from typing_extensions import TypedDict

from banditloop.rl_core.events.json_format import FEATURE_BOUNDS, STRICT
from banditloop.rl_core.events.schema import MAX_CATEGORIES
from banditloop.rl_core.settings.feature_kinds import Kind, Vector

Number = Annotated[float, Field(**FEATURE_BOUNDS[float])]
Text = Annotated[str, Field(**FEATURE_BOUNDS[str])]
TYPES: dict[Any, Any] = {
    "number": Number,
    "boolean": bool,
    "category": Text,
    "categories": Annotated[list[Text], Field(max_length=MAX_CATEGORIES, fail_fast=True)],
}


def features_type(kinds: Mapping[str, Kind]) -> Any:
    """TypedDict of features by name, all optional and nullable."""
    dynamic: Any = TypedDict  # type checkers accept only literal fields
    return with_config(STRICT)(
        dynamic("Features", {name: _type(kind) | None for name, kind in kinds.items()}, total=False)
    )


def _type(kind: Kind) -> Any:
    if isinstance(kind, Vector):
        return Annotated[list[Number], Field(min_length=kind.vector, max_length=kind.vector, fail_fast=True)]
    return Literal[tuple(kind)] if isinstance(kind, list) else TYPES[kind]
