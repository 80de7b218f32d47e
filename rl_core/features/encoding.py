"""The encoding of a policy: what the numbers of its arrays stand for, the features and the actions by their ids."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, ValidationError

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.features.encoder import Encoder
from banditloop.rl_core.settings.section import Section, explain
from banditloop.rl_core.settings.task import MAX_ACTIONS, Task

ENCODING = "encoding.json"


class Encoding(Section):
    """The encoder of contexts, that of actions' features, and the ids of the actions, in the order of the arrays."""

    context: Encoder
    action: Encoder | None = None
    actions: int | list[str] = Field(description="ids of the actions; a number stands for 0, 1, …")
    action_features: dict[str, dict[str, Any]] = Field({}, description="latest features of each action, by id")
    new_actions: list[str] = Field([], description="actions that joined later and were not tried enough yet")

    @classmethod
    def unfitted(cls, task: Task) -> Self:
        """The encoding of a task before any training."""
        plain = task.plain is not None
        action = Encoder.unfitted(task.action_features) if task.action_features else None
        actions = task.actions if isinstance(task.actions, int) else list(task.action_ids or ())
        return cls(context=Encoder.unfitted(task.context, plain), action=action, actions=actions)

    def readable(self, task: Task) -> bool:
        """Whether contexts of this task's type have all features that are encoded."""
        return self.context.kinds.keys() <= task.context.keys()

    @classmethod
    def of_vectors(cls, dim: int, actions: int) -> Self:
        """The encoding of plain vectors and numbered actions: for policies that were saved without one."""
        return cls.unfitted(Task.parse({"context": {"observation": {"vector": dim}}, "actions": actions}))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The encoding in a policy directory. InvalidInput: it is missing or invalid."""
        try:
            return cls.model_validate_json((folder / ENCODING).read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"policy {folder}: {ENCODING}: {error}") from None
        except ValidationError as error:
            raise InvalidInput(f"policy {folder}: {ENCODING}: {explain(error)}") from None

    @classmethod
    def read_if_any(cls, folder: Path) -> Self | None:
        """The encoding in a policy directory; None in one of an older version, which has none."""
        return cls.read(folder) if (folder / ENCODING).exists() else None

    def write(self, folder: Path) -> None:
        """Write the encoding into a policy directory."""
        (folder / ENCODING).write_text(self.model_dump_json())

    def with_actions(self, ids: Iterable[str]) -> Self:
        """This encoding with the actions among `ids` that it lacks added, sorted."""
        added = sorted(set(ids) - self.index.keys())
        if not added:
            return self
        if isinstance(self.actions, int) and all(map(_is_number, added)):
            return self.model_copy(update={"actions": max(map(int, added)) + 1})
        return self.model_copy(update={"actions": [*self.action_ids, *added]})

    def with_features(self, task: Task, features: dict[str, dict[str, Any]]) -> Self:
        """This encoding with the latest features of its actions, to which their encoder is fitted anew."""
        latest = self.action_features | features
        known = {action: latest[action] for action in sorted(latest) if action in self.index}
        if not known:
            return self
        values = pa.array(list(known.values()), task.candidate_type)
        encoder = Encoder.unfitted(task.action_features).fit(values)
        return self.model_copy(update={"action_features": known, "action": encoder})

    def feature_matrix(self) -> np.ndarray | None:
        """The encoded features of all actions [actions, k]; None if actions have none."""
        if self.action is None:
            return None
        return self.action.encode_rows([self.action_features.get(action, {}) for action in self.action_ids])

    @cached_property
    def action_ids(self) -> tuple[str, ...]:
        """The ids of the actions, in the order of the arrays."""
        return tuple(map(str, range(self.actions))) if isinstance(self.actions, int) else tuple(self.actions)

    @cached_property
    def index(self) -> dict[str, int]:
        """The position of each action in the arrays."""
        return {action: position for position, action in enumerate(self.action_ids)}


def _is_number(action: str) -> bool:
    """Whether an id is that of a numbered action: 7, but neither 007 nor a number that no task may have."""
    return action.isdecimal() and len(action) <= len(str(MAX_ACTIONS)) and str(int(action)) == action


def with_features_of(task: Task, encodings: Iterable[Encoding]) -> Task:
    """The task with the features that it may have dropped and these encodings need."""
    encoded = {name: kind for encoding in encodings for name, kind in encoding.context.kinds.items()}
    return task.model_copy(update={"context": encoded | task.context})
