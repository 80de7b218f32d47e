"""Section: the base class of typed, validated and frozen settings."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from banditloop.rl_core.errors import InvalidInput, brief, nearest

MAX_PROBLEMS = 8  # listed of one value
MAX_KEY_LENGTH = 80

MAX_LINE = 1_000  # characters of a path, a host or a name; Linux takes 4,096 bytes for a whole path
MAX_INTEGER = 1 << 53  # in a config: KFP passes numbers on in double precision


@dataclass(frozen=True)
class RelativePath:
    """Annotates a setting that is a path: one that is relative belongs to the folder of the config file."""

    besides: str = ""  # regular expression of values that are no paths; URIs never are

    def located(self, value: Any, folder: Path) -> Any:
        """The path as seen from `folder`, as a text; anything else is returned as it is."""
        if not isinstance(value, str) or "://" in value or (self.besides and re.fullmatch(self.besides, value)):
            return value
        return str(folder / Path(value).expanduser())


def _check_line(text: str) -> str:
    if not (text.isprintable() and 1 <= len(text) <= MAX_LINE):
        raise ValueError(f"give one line of 1 to {MAX_LINE:,} printable characters")
    return text


Line = Annotated[str, AfterValidator(_check_line)]
PathText = Annotated[Line, RelativePath()]


class Section(BaseModel):
    """A frozen group of settings. Unknown keys, wrong types and values out of range are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Any, where: str = "") -> Self:
        """The section with the values of a plain mapping. `where` is its key in the config, for error messages.

        Raises:
            InvalidInput: a key is unknown or a value invalid; names both, and what would be right.
        """
        check_integers(values, where)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InvalidInput(explain(error, where, cls)) from None

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
        fields = _fields_with_integers(cls)
        return {key: _with_whole_numbers(value) if key in fields else value for key, value in values.items()}


@cache
def _fields_with_integers(section: type[Section]) -> frozenset[str]:
    """The fields that may hold integers, except nested sections, which convert their own."""
    fields = section.model_fields.items()
    return frozenset(name for name, field in fields if _may_hold_integers(field.annotation))


def _may_hold_integers(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return any(isinstance(value, int) for value in get_args(kind))
    if get_origin(kind) is Annotated:
        return _may_hold_integers(get_args(kind)[0])
    if parts := get_args(kind):
        return any(map(_may_hold_integers, parts))
    return not (isinstance(kind, type) and issubclass(kind, Section | float | str | datetime | NoneType))


def _with_whole_numbers(value: Any) -> Any:
    """The value with whole floats as ints, in its lists and mappings too."""
    if isinstance(value, dict):
        return {key: _with_whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(item) for item in value]
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER
    return int(value) if is_whole else value


def check_integers(value: Any, where: str) -> None:
    """InvalidInput: an integer, in lists and mappings too, is too large to be exact in the JSON that KFP passes on."""
    if isinstance(value, Mapping | list):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            check_integers(item, f"{where}.{key}".removeprefix("."))
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise InvalidInput(
            f"{where} = {value}: give at most 2^53 = {MAX_INTEGER}; KFP passes on no larger integer exactly"
        )


def explain(error: ValidationError, where: str = "", model: type[BaseModel] | None = None) -> str:
    """The first problems of a validation error in one line, each with key, value and what would be right.

    model: what was validated, so that an unknown key gets the name of the nearest one.
    """
    problems = []
    for problem in error.errors(include_url=False)[:MAX_PROBLEMS]:
        location = [where, *(str(part)[:MAX_KEY_LENGTH] for part in problem["loc"])]
        key = ".".join(filter(None, location)) or "input"
        without_value = problem["type"] in ("missing", "json_invalid", "model_type")
        value = "" if without_value else f" = {brief(problem['input'])}"
        text = problem["msg"].removeprefix("Value error, ")
        if model and problem["type"] == "extra_forbidden":
            owner = ".".join(filter(None, location[:-1])) or "the config"
            text = f"is no key; {nearest(location[-1], _keys(model, problem['loc'][:-1]), owner)}"
        problems.append(f"{key}{value}: {text}")
    if error.error_count() > MAX_PROBLEMS:
        problems.append(f"and {error.error_count() - MAX_PROBLEMS:,} more")
    return "; ".join(problems)


def _keys(model: Any, path: Sequence[int | str]) -> list[str]:
    """The keys that a model, or the model at a path of keys in it, knows."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        inner = (_keys(part, path) for part in get_args(model))  # of a union, or an annotated type
        return next(filter(None, inner), [])
    if not path:
        return list(model.model_fields)
    field = model.model_fields.get(str(path[0]))
    return _keys(field.annotation, path[1:]) if field else []


def digest(content: object) -> str:
    """Eight hexadecimal digits of the SHA-256 of JSON content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
