"""The task that a log implies: its actions, the features of its contexts, and the range of its rewards."""

import math
import re
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from banditloop.pipelines.cli.column_kinds import BEYOND, feature_kind, is_beyond, is_list, is_number, is_text
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.logs.columns import EPISODE_FIELDS, FIELDS, METRICS
from banditloop.rl_core.logs.names import EPISODE_NAMES, USUAL_NAMES, bare_name
from banditloop.rl_core.settings.feature_kinds import Kind
from banditloop.rl_core.settings.task import MAX_CANDIDATES, OPEN

CALLED = "is called "  # beginning of the note on a column that a feature of another name is read from
FEATURE_NAME = r"[A-Za-z][A-Za-z0-9_]{0,62}"
SEQUENTIAL = "; to learn from episodes, add the section [episodes] and set agent.name = 'dqn'"
ROWS_PER_ACTION = 5  # at least, to see that a column depends on nothing but the action
EXAMPLES = 2


class Features(NamedTuple):
    """The features of a log's contexts: kinds by name, what became of other columns, and contexts as examples."""

    kinds: dict[str, Kind]
    notes: dict[str, str]  # of columns that were left out or renamed
    examples: list[dict[str, Any]]


def infer_actions(column: pa.ChunkedArray) -> int | list[str] | str:
    """The actions: their number if they are 0, 1, … without a gap, else their ids, or "open" if they are very many.

    Raises:
        InvalidInput: there are fewer than two, or they are fractions or lists.
    """
    if not (types.is_integer(column.type) or is_text(column.type) or types.is_boolean(column.type)):
        raise InvalidInput(f"--action: the column holds {column.type}; ids of actions are texts or whole numbers")
    distinct = column.unique().drop_null()
    if len(distinct) < 2:
        raise InvalidInput("--action: the column has fewer than two actions; give the one with what was chosen")
    if types.is_integer(column.type) and set(distinct.to_pylist()) == set(range(len(distinct))):
        return len(distinct)
    ids: list[str] = sorted(distinct.cast(pa.string()).to_pylist())
    return ids if len(ids) <= MAX_CANDIDATES else OPEN


def infer_range(column: pa.ChunkedArray) -> list[float]:
    """The smallest and the largest reward, rounded outwards to one digit of their span, with 0 among them.

    (0 is the reward of a decision without any.)

    Raises:
        InvalidInput: the rewards are no numbers, or are too large.
    """
    if not (is_number(column.type) or types.is_boolean(column.type)):
        raise InvalidInput(f"--reward: the column holds {column.type}; rewards are numbers or booleans")
    if is_beyond(column):
        raise InvalidInput(f"--reward: the column has {BEYOND}")
    values = pc.min_max(column.cast(pa.float64())).as_py()
    low, high = min(values["min"] or 0.0, 0.0), max(values["max"] or 0.0, 0.0)
    if low == high:
        return [0.0, 1.0]
    step = 10.0 ** math.floor(math.log10(high - low))
    return [round(math.floor(low / step + 1e-9) * step, 12), round(math.ceil(high / step - 1e-9) * step, 12)]


def infer_features(table: pa.Table, action: str, reward: str) -> Features:
    """The features of the contexts: all columns but the action, the reward, and those that are none."""
    kinds: dict[str, Kind] = {}
    notes = _of_episodes(table.column_names)
    columns: dict[str, str] = {}  # by feature
    for column in table.column_names:
        if column in (action, reward) or column in notes:
            continue
        name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_")
        kind, reason = feature_kind(column, table[column].drop_null())
        if kind and not re.fullmatch(FEATURE_NAME, name):
            kind, reason = None, "a feature's name is made of letters, digits and _"
        elif kind and name.lower() in map(str.lower, kinds):
            kind, reason = None, "has the name of another feature, up to upper and lower case"
        elif kind and _depends_on(table, action, column):
            kind, reason = None, "depends on the action only: it could be one of [task.action_features]"
        if kind:
            kinds[name], columns[name] = kind, column
        if kind is None or name != column:
            notes[column] = f"{CALLED}{name}" if kind else f"left out: {reason}"
    return Features(kinds, notes, _examples(table, columns, kinds))


def _of_episodes(columns: list[str]) -> dict[str, str]:
    """Notes on the columns of episodes, steps and metrics, in a log of episodes; empty for any other."""
    names = {column: bare_name(column) for column in columns}
    if not {*names.values()} & {*EPISODE_NAMES}:
        return {}
    notes = {column: "a metric" for column in columns if column.startswith(f"{METRICS}.")}
    for field in ("candidates", *EPISODE_FIELDS):
        usual, hint = {field, *USUAL_NAMES[field]}, SEQUENTIAL if field == "episode_id" else ""
        notes |= {column: FIELDS[field] + hint for column, name in names.items() if name in usual}
    return notes


def _depends_on(table: pa.Table, action: str, column: str) -> bool:
    """Whether the column has one value for each action, and not the same for all, in enough rows to be no accident."""
    actions = len(table[action].unique())
    if is_list(table[column].type) or table.num_rows < ROWS_PER_ACTION * actions:
        return False
    pairs = table.select([action, column]).group_by([action, column]).aggregate([])
    return pairs.num_rows == actions


def _examples(table: pa.Table, columns: dict[str, str], kinds: dict[str, Kind]) -> list[dict[str, Any]]:
    """The contexts of the first rows that differ, without what is missing in them."""
    examples: list[dict[str, Any]] = []
    for row in table.slice(0, 100).to_pylist():
        values = {name: row[column] for name, column in columns.items() if row[column] is not None}
        context = {name: _example(kinds[name], value) for name, value in values.items()}
        if context not in examples:
            examples.append(context)
    return examples[:EXAMPLES]


def _example(kind: Kind, value: Any) -> Any:
    if isinstance(value, list):
        return [_example("number", item) for item in value if item not in (None, "")]
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return bool(value) if kind == "boolean" else value
