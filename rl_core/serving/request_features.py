"""Validation of features in requests, by the kinds of the task."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.json_format import STRICT
from banditloop.rl_core.events.observations import check_observations
from banditloop.rl_core.events.schema import MAX_ABS_VALUE, MAX_CATEGORIES, MAX_TEXT_LENGTH
from banditloop.rl_core.serving.predict_request import as_text
from banditloop.rl_core.settings.feature_kinds import Kind, Vector, nearest
from banditloop.rl_core.settings.section import explain
from banditloop.rl_core.settings.task import MAX_ID_LENGTH, Task

Number = Annotated[float, Field(ge=-MAX_ABS_VALUE, le=MAX_ABS_VALUE)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_LENGTH)]
TYPES: dict[Any, Any] = {
    "number": Number,
    "boolean": bool,
    "category": Text,
    "categories": Annotated[list[Text], Field(max_length=MAX_CATEGORIES)],
}


class ContextReader:
    """Checks the contexts of requests."""

    def __init__(self, task: Task) -> None:
        self._kinds, self._plain = task.context, task.plain
        kind = task.context[task.plain] if task.plain else None
        self._dim = kind.vector if isinstance(kind, Vector) else 0

    def read(self, contexts: Sequence[Any]) -> np.ndarray | list[dict[str, Any]]:
        """The contexts: float32 [B, dim] of a task of plain vectors, else features by name. Missing ones are legal.

        Raises:
            InvalidInput: a context does not fit the task; names context, feature and what would be right.
        """
        if self._plain is None:
            return _validated(self._adapter, list(contexts), self._kinds, "context")
        return check_observations([self._vector(context) for context in contexts], self._dim)

    def row(self, context: Any) -> dict[str, Any]:
        """A context that was read, as the features of an event."""
        return {self._plain: context} if self._plain else context

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of a context, features by name."""
        return TypeAdapter(features_type(self._kinds)).json_schema()

    def _vector(self, context: Any) -> Any:
        if isinstance(context, dict) and context.keys() == {self._plain}:
            return context[self._plain]
        return context

    @cached_property
    def _adapter(self) -> TypeAdapter[list[dict[str, Any]]]:
        return TypeAdapter(list[features_type(self._kinds)])  # type: ignore[misc, arg-type]


class CandidateReader:
    """Checks the candidates that requests list."""

    def __init__(self, task: Task) -> None:
        self._kinds = task.action_features

    def read(self, number: int, actions: Sequence[Any]) -> tuple[list[str], list[dict[str, Any]]]:
        """The ids of candidates, and the features of each; no features where none of them has any.

        Raises:
            InvalidInput: a candidate is no id and no object with one, or its features do not fit the task.
        """
        objects = [dict(action) if isinstance(action, dict) else {"id": action} for action in actions]
        ids = [_action_id(number, candidate.pop("id", None)) for candidate in objects]
        if len(set(ids)) < len(ids):
            raise InvalidInput(f"context {number}: actions: {next(i for i in ids if ids.count(i) > 1)!r} occurs twice")
        features = _validated(self._adapter, objects, self._kinds, f"context {number}: actions")
        return ids, features if any(features) else []

    @cached_property
    def _adapter(self) -> TypeAdapter[list[dict[str, Any]]]:
        return TypeAdapter(list[features_type(self._kinds)])  # type: ignore[misc, arg-type]


def _action_id(number: int, value: Any) -> str:
    text = as_text(value)
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_ID_LENGTH:
        raise InvalidInput(
            f"context {number}: actions: {value!r:.40} is no id; give ids, or objects with an id, "
            f"each a text of 1 to {MAX_ID_LENGTH} characters"
        )
    return text


def features_type(kinds: Mapping[str, Kind]) -> Any:
    """TypedDict of features by name, all optional and nullable, against which Pydantic validates."""
    dynamic: Any = TypedDict  # type checkers accept only literal fields
    return with_config(STRICT)(
        dynamic("Features", {name: _type(kind) | None for name, kind in kinds.items()}, total=False)
    )


def _type(kind: Kind) -> Any:
    if isinstance(kind, Vector):
        return Annotated[list[Number], Field(min_length=kind.vector, max_length=kind.vector)]
    return Literal[tuple(kind)] if isinstance(kind, list) else TYPES[kind]


def _validated(
    adapter: TypeAdapter[list[dict[str, Any]]], rows: list[Any], kinds: Mapping[str, Kind], where: str
) -> list[dict[str, Any]]:
    try:
        return adapter.validate_python(rows)
    except ValidationError as error:
        for problem in error.errors():
            if problem["type"] == "extra_forbidden":
                row, name = problem["loc"][:2]
                raise InvalidInput(
                    f"{where} {row}: {name}: is no feature of the task; {nearest(str(name), kinds)}"
                ) from None
        raise InvalidInput(explain(error, where)) from None
