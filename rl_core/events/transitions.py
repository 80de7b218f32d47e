"""The schema of transitions: the decisions of episodes, each with its reward and with what came next."""

from collections.abc import Sequence

import pyarrow as pa

from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.settings.task import Task

ORDER = (
    ("ordinal", pa.int32(), "number of the decision among those of its episode that the log has, from 0 on"),
    ("steps_to_next", pa.int32(), "step of the episode's next decision minus this one's; 0 at the last"),
    ("steps_since_first", pa.int32(), "step of the decision minus that of the episode's first"),
)
KIND = {"kind": "transitions"}  # metadata of examples that are transitions, not interactions
OPTIONAL_STEP = {"episode_id", "step", "terminal", "truncated"}  # optional in decisions, but every transition has them


def transition_schema(task: Task, metrics: Sequence[str] = ()) -> pa.Schema:
    """The schema of transitions of a task, with the named rewards that are metrics.

    The last decision of an episode is either terminal or truncated, no other is. It has no next context, action and
    candidates.
    """
    fields = [
        field.with_nullable(False) if field.name in OPTIONAL_STEP else field for field in interaction_schema(task)
    ]
    order = [_described(name, kind, text) for name, kind, text in ORDER]
    following = [
        _described("next_context", task.context_type, "context of the episode's next decision", nullable=True),
        _described("next_action", pa.string(), "action of the next decision", nullable=True),
        _described("next_candidates", pa.list_(pa.string()), "candidates of the next decision, as in candidates"),
        _described("next_candidate_features", pa.list_(task.candidate_type), "features of the next candidates"),
    ]
    named = [pa.field(name, pa.float64()) for name in metrics]
    values = [_described("metrics", pa.struct(named), "aggregated rewards by name; null without any")] if named else []
    return pa.schema([*fields, *order, *following, *values])


def _described(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})
