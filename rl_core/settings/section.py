"""Section: the base class of typed, validated and frozen settings."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from banditloop.rl_core.errors import InvalidInput


@dataclass(frozen=True)
class RelativePath:
    """Annotates a setting that is a path: one that is relative belongs to the folder of the config file."""

    besides: str = ""  # regular expression of values that are no paths; URIs never are

    def located(self, value: Any, folder: Path) -> Any:
        """The path as seen from `folder`, as a text; anything else is returned as it is."""
        if not isinstance(value, str) or "://" in value or (self.besides and re.fullmatch(self.besides, value)):
            return value
        return str(folder / Path(value).expanduser())


PathText = Annotated[str, RelativePath()]


class Section(BaseModel):
    """A frozen group of settings. Unknown keys, wrong types and values out of range are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Any, where: str = "") -> Self:
        """The section with the values of a plain mapping. `where` is its key in the config, for error messages.

        Raises:
            InvalidInput: a key is unknown or a value invalid; names both, and what would be right.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InvalidInput(explain(error, where)) from None

    def relative_to(self, folder: Path) -> Self:
        """The section with its relative paths, the default ones included, taken from a folder."""
        changed = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Section):
                changed[name] = value.relative_to(folder)
            elif path := next((mark for mark in field.metadata if isinstance(mark, RelativePath)), None):
                changed[name] = path.located(value, folder)
        return self.model_copy(update=changed)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some values changed. Cached properties are not copied: they may depend on these values."""
        copy = super().model_copy(update=update, deep=deep)
        for name in copy.__dict__.keys() - type(self).model_fields.keys():
            del copy.__dict__[name]
        return copy

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, values: Any) -> Any:
        """Convert whole floats back to ints: KFP turns the ints in pipeline parameters into floats."""
        if not isinstance(values, dict):
            return values
        return {
            key: int(value) if isinstance(value, float) and value.is_integer() else value
            for key, value in values.items()
        }


def explain(error: ValidationError, where: str = "") -> str:
    """All problems of a validation error in one line, each with key, value and what would be right."""
    problems = []
    for problem in error.errors():
        key = ".".join(filter(None, [where, *map(str, problem["loc"])])) or "input"
        without_value = problem["type"] in ("missing", "json_invalid", "model_type")
        value = "" if without_value else f" = {_shorten(problem['input'])}"
        problems.append(f"{key}{value}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def digest(content: object) -> str:
    """Eight hexadecimal digits of the SHA-256 of JSON content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
