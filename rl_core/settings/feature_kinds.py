"""The kinds of features by which a task describes its contexts and actions."""

import json
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, BeforeValidator, Field

from banditloop.rl_core.settings.section import Section

KINDS = ("number", "boolean", "category", "categories")
HINT = "give 'number', 'boolean', 'category', 'categories', a list of texts, or {vector = LENGTH}"
MAX_TEXT_LENGTH = 256  # of a category


class Vector(Section):
    """A list of numbers of a fixed length."""

    vector: int = Field(ge=1, le=10_000, description="length of the list")


def _check_kind(value: Any) -> Any:
    """Checked before Pydantic tries the alternatives, of which it would report one error each."""
    is_list = isinstance(value, list) and value and all(isinstance(text, str) and text for text in value)
    if not (value in KINDS if isinstance(value, str) else is_list or isinstance(value, dict | Vector)):
        raise ValueError(f"is not a kind of feature: {HINT}")
    if isinstance(value, list) and len(set(value)) < len(value):
        raise ValueError("a category occurs twice")
    return Vector.model_validate(value) if isinstance(value, dict) else value


Kind = Annotated[
    Literal["number", "boolean", "category", "categories"] | list[str] | Vector, BeforeValidator(_check_kind)
]
FeatureName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]


def _check_names(kinds: dict[str, Kind]) -> dict[str, Kind]:
    """SQL does not distinguish upper and lower case."""
    lower = [name.lower() for name in kinds]
    for name in kinds:
        if lower.count(name.lower()) > 1:
            raise ValueError(f"{name} occurs twice, up to upper and lower case; SQL does not distinguish them")
    return kinds


Kinds = Annotated[dict[FeatureName, Kind], AfterValidator(_check_names)]


def arrow_type(kind: Kind) -> pa.DataType:
    """The Arrow type of a feature's values."""
    if isinstance(kind, Vector):
        return pa.list_(pa.float32())
    if isinstance(kind, list):
        return pa.string()
    types = {
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "category": pa.string(),
        "categories": pa.list_(pa.string()),
    }
    return types[kind]


def same_kind(one: Kind, other: Kind) -> bool:
    """Whether the log can have values of both kinds: a vector keeps its length, and a list of texts may change."""
    one, other = ("category" if isinstance(kind, list) else kind for kind in (one, other))
    return one == other


def kind_text(kind: Kind) -> str:
    """A kind of feature as TOML."""
    return f"{{vector = {kind.vector}}}" if isinstance(kind, Vector) else json.dumps(kind, ensure_ascii=False)
