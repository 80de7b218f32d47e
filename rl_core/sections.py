"""Sections: the typed, validated values that configuration is made of."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from rl_core.errors import InvalidInput


class Section(BaseModel):
    """A frozen group of settings. Unknown keys, wrong types and values out of range are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Any, place: str = "") -> Self:
        """The section that a plain mapping describes.

        Raises:
            InvalidInput: a key is unknown or a value not allowed; names both, and what would be right.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InvalidInput(explain(error, place)) from None

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, values: Any) -> Any:
        """Give back the ints that KFP turned into floats on their way through a pipeline parameter."""
        if not isinstance(values, dict):
            return values
        return {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in values.items()}


S = TypeVar("S", bound=Section)


def registered(registry: Mapping[str, type[S]], values: Any, place: str) -> S:
    """The registered section that `values["name"]` chooses and the other values describe."""
    if isinstance(values, Section):
        return values  # type: ignore[return-value]
    name = values.get("name") if isinstance(values, Mapping) else None
    if not isinstance(name, str) or name not in registry:
        raise InvalidInput(f"{place}.name = {name!r}: is not one of: {', '.join(sorted(registry))}")
    return registry[name].parse(values, place)


def explain(error: ValidationError, place: str = "") -> str:
    """Every problem of a validation error as one line: key, value, and what would be right."""
    problems = []
    for problem in error.errors():
        key = ".".join(filter(None, [place, *map(str, problem["loc"])])) or "input"
        shown = "" if problem["type"] in ("missing", "json_invalid", "model_type") else f" = {_short(problem['input'])}"
        problems.append(f"{key}{shown}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def digest(content: object) -> str:
    """Eight hexadecimal digits that stand for plain content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
