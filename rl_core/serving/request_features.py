"""Validation of features in requests, by the kinds of the task."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from banditloop.rl_core.errors import InvalidInput, brief, nearest
from banditloop.rl_core.events.feature_types import features_type
from banditloop.rl_core.events.observations import check_observations
from banditloop.rl_core.serving.predict_request import as_text
from banditloop.rl_core.settings.feature_kinds import MAX_TEXT_LENGTH, Kind, Vector
from banditloop.rl_core.settings.section import explain
from banditloop.rl_core.settings.task import MAX_ID_LENGTH, Task

Features = dict[str, Any]


class ContextReader:
    """Checks the contexts of requests."""

    def __init__(self, task: Task) -> None:
        self._kinds, self.vector = task.context, task.plain
        kind = task.context[task.plain] if task.plain else None
        self._dim = kind.vector if isinstance(kind, Vector) else 0

    def read(self, contexts: Sequence[Any]) -> np.ndarray | list[dict[str, Any]]:
        """The contexts: float32 [B, dim] of a task of plain vectors, else features by name. Missing ones are legal.

        Raises:
            InvalidInput: a context does not fit the task; names context, feature and what would be right.
        """
        if self.vector is None:
            return _validated(self._adapter, list(contexts), self._kinds, "context")
        return check_observations([self._vector(context) for context in contexts], self._dim)

    def row(self, context: Any) -> dict[str, Any]:
        """A context that was read, as the features of an event."""
        return {self.vector: context} if self.vector else context

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of a context, features by name."""
        return TypeAdapter(features_type(self._kinds)).json_schema()

    def _vector(self, context: Any) -> Any:
        if isinstance(context, dict) and context.keys() == {self.vector}:
            return context[self.vector]
        return context

    @cached_property
    def _adapter(self) -> TypeAdapter[list[Features]]:
        return _adapter(self._kinds)


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
    def _adapter(self) -> TypeAdapter[list[Features]]:
        return _adapter(self._kinds)


def _adapter(kinds: Mapping[str, Kind]) -> TypeAdapter[list[Features]]:
    return TypeAdapter(Annotated[list[features_type(kinds)], Field(fail_fast=True)])  # type: ignore[misc, arg-type]


def _action_id(number: int, value: Any) -> str:
    text = as_text(value)
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_ID_LENGTH:
        raise InvalidInput(
            f"context {number}: actions: {brief(value, 40)} is no id; give ids, or objects with an id, "
            f"each a text of 1 to {MAX_ID_LENGTH} characters"
        )
    return text


def _validated(
    adapter: TypeAdapter[list[dict[str, Any]]], rows: list[Any], kinds: Mapping[str, Kind], where: str
) -> list[dict[str, Any]]:
    for number, row in enumerate(rows):
        if isinstance(row, dict) and not row.keys() <= kinds.keys():
            name = next(name for name in row if name not in kinds)[:MAX_TEXT_LENGTH]
            raise InvalidInput(f"{where} {number}: {name:.80}: is no feature of the task; {nearest(name, kinds)}")
    try:
        return adapter.validate_python(rows)
    except ValidationError as error:
        raise InvalidInput(explain(error, where)) from None
