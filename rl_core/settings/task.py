"""The task: what is decided. Features of a context by name, actions by id, and the range of rewards."""

from collections import Counter
from functools import cached_property
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, BeforeValidator, Field

from banditloop.rl_core.settings.feature_kinds import Kinds, Vector, arrow_type
from banditloop.rl_core.settings.reward_range import RewardBounds, RewardRange
from banditloop.rl_core.settings.section import Line, RelativePath, Section

OPEN = "open"
MAX_ID_LENGTH = 256
MAX_ACTIONS = 1_000_000
MAX_CANDIDATES = 1_000  # that one request or one decision may list
# project.dataset.table, and no file's name; old projects are named as domain.com:project
BIGQUERY_TABLE = r"([a-z0-9.-]+:)?[a-z][a-z0-9-]+\.\w+\.(?!(parquet|csv|jsonl?)$)[\w-]+"
NO_FEATURES = pa.struct({"none": pa.bool_()})  # Parquet has no struct without fields


class ActionTable(Section):
    """A table with one row per action, read again whenever it changes."""

    table: Annotated[Line, RelativePath(besides=BIGQUERY_TABLE)] = Field(
        description="path, gs:// URI or BigQuery table (project.dataset.table)"
    )
    id: Line = Field("id", description="column of the actions' ids; features are read from their names")


def _check_actions(value: Any) -> Any:
    """Checked before Pydantic tries the alternatives, of which it would report one error each."""
    if isinstance(value, dict | ActionTable):
        return ActionTable.model_validate(value)
    if isinstance(value, list):
        _check_ids(value)
    elif isinstance(value, bool) or not (isinstance(value, int) or value == OPEN):
        raise ValueError(f"give a number of actions, a list of their ids, {{table, id}}, or {OPEN!r}")
    elif isinstance(value, int) and not 2 <= value <= MAX_ACTIONS:
        raise ValueError(f"give a number from 2 to {MAX_ACTIONS:,}")
    return value


def _check_ids(ids: list[Any]) -> None:
    if not 2 <= len(ids) <= MAX_ACTIONS or not all(
        isinstance(action, str) and 1 <= len(action) <= MAX_ID_LENGTH for action in ids
    ):
        raise ValueError(f"give at least two actions, each a text of 1 to {MAX_ID_LENGTH} characters")
    action, count = Counter(ids).most_common(1)[0]
    if count > 1:
        raise ValueError(f"the action {action!r} occurs twice")


def _check_action_features(kinds: Kinds) -> Kinds:
    if "id" in kinds:
        raise ValueError("id: is no feature, but the action's id in requests; give the feature another name")
    return kinds


Actions = Annotated[int | list[str] | ActionTable | Literal["open"], BeforeValidator(_check_actions)]


class Task(Section):
    """What is decided, apart from any simulator."""

    actions: Actions = Field(
        "open",
        description="number of actions (0, 1, …), list of their ids, or {table, id}; open: every request lists its own",
    )
    reward_range: RewardBounds = Field(
        [0.0, 1.0], description="smallest and largest reward; evaluation scales rewards to [0, 1] by it"
    )
    context: Kinds = Field(
        {}, description="kind of each feature of a context: number, boolean, category, categories, a list, {vector}"
    )
    action_features: Annotated[Kinds, AfterValidator(_check_action_features)] = Field(
        {}, description="kind of each feature of an action, as for context"
    )

    @property
    def rewards(self) -> RewardRange:
        """The range of rewards."""
        return RewardRange(*self.reward_range)

    @property
    def numbered(self) -> bool:
        """Whether actions are numbers, which answers give back as such."""
        return isinstance(self.actions, int)

    @cached_property
    def action_ids(self) -> tuple[str, ...] | None:
        """The ids of all actions; None if they are in a table, or in the requests only."""
        if isinstance(self.actions, int):
            return tuple(map(str, range(self.actions)))
        return tuple(self.actions) if isinstance(self.actions, list) else None

    @cached_property
    def plain(self) -> str | None:
        """The name of the only feature if it is a vector, which is then used as it is; otherwise None."""
        [*names] = self.context
        return names[0] if len(names) == 1 and isinstance(self.context[names[0]], Vector) else None

    @cached_property
    def context_type(self) -> pa.DataType:
        """The Arrow type of a context: a struct of its features."""
        return _struct(self.context) if self.context else NO_FEATURES

    @cached_property
    def candidate_type(self) -> pa.DataType:
        """The Arrow type of the features of an action."""
        return _struct(self.action_features) if self.action_features else NO_FEATURES


def _struct(kinds: Kinds) -> pa.DataType:
    return pa.struct({name: arrow_type(kind) for name, kind in kinds.items()})
