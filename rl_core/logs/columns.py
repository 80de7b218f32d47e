"""The columns of a log: which one has what, by the user's mapping, by usual names, and by the task's features."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.errors import InvalidInput, nearest
from banditloop.rl_core.logs import values
from banditloop.rl_core.logs.batches import RawBatch
from banditloop.rl_core.logs.names import USUAL_NAMES, bare_name
from banditloop.rl_core.settings.feature_kinds import Kinds, Vector

FIELDS = {  # what a column can be besides a feature of the context
    "event_id": "id of the decision; rows with the same id count once",
    "timestamp": "time of the decision",
    "action": "id of the chosen action",
    "propensity": "probability with which it was chosen",
    "probabilities": "list of the probabilities of all candidates; or p_*, columns named after each action",
    "reward": "reward of the decision; empty: none was reported",
    "candidates": "list of the ids that could be chosen; without it, all actions of the task",
    "candidate_features": "list of the features of each candidate",
    "logging_probability": "probability with which the decision was logged, if not all were",
    "episode_id": "id of the episode that the decision belongs to",
    "step": "number of the decision in its episode; without it, they are counted in the order of the rows",
    "terminal": "whether the episode ended with the decision",
    "truncated": "whether the episode was cut off after it",
}
EPISODE_FIELDS = ("episode_id", "step", "terminal", "truncated")  # names that a feature may have instead
METRICS = "metrics"  # name of a mapping of rewards by name
RESERVED = "@"  # prefix of the fields that a format itself defines: they are no features


def parse_mapping(texts: Iterable[str]) -> dict[str, str]:
    """The columns by field or feature, of texts such as "action=arm".

    Raises:
        InvalidInput: one is no such text, or a name occurs twice.
    """
    mapping: dict[str, str] = {}
    for text in texts:
        name, separator, column = text.partition("=")
        if not (name and separator):
            raise InvalidInput(f"--map {text!r}: give NAME=COLUMN, as action=arm")
        if name in mapping:
            raise InvalidInput(f"--map {text!r}: {name} has {mapping[name]!r} already")
        mapping[name] = column
    return mapping


def no_column(name: str, names: Sequence[str]) -> InvalidInput:
    """The error that a log with these columns lacks one of this name or, for a field, one that is known to be it."""
    hint = nearest(name, [column for column in names if not column.startswith(RESERVED)], "the log")
    if name in FIELDS:
        return InvalidInput(f"--map {name}=COLUMN: which column is it? {hint}")
    return InvalidInput(f"{name!r}: the log has no such column; {hint}")


@dataclass(frozen=True)
class Columns:
    """The columns of a log: of each field by its name, of each feature, and those that are neither.

    A vector that the log has in numbered columns, x_0, x_1, …, has their names as a tuple.
    """

    fields: Mapping[str, str]
    features: Mapping[str, str | tuple[str, ...]]
    rewards: Mapping[str, str] = field(default_factory=dict)  # of further rewards, by their names
    others: Sequence[str] = ()
    absent: Sequence[str] = field(default=())  # features that no column has

    @classmethod
    def of(
        cls, names: Sequence[str], mapping: Mapping[str, str], kinds: Kinds, rewards: Sequence[str] = ()
    ) -> "Columns":
        """The columns of a log with these names; kinds: of the task's features; rewards: names of further rewards.

        Raises:
            InvalidInput: the mapping names a field, a feature or a column that does not exist; names the nearest.
        """
        for name, column in mapping.items():
            if name not in {*FIELDS, *kinds, *rewards}:
                hint = nearest(name, [*FIELDS, *kinds, *rewards])
                raise InvalidInput(f"mapping {name}={column}: is neither a field of decisions nor a feature; {hint}")
            if not _exists(column, names):
                hint = nearest(column, [name for name in names if not name.startswith(RESERVED)], "the log")
                raise InvalidInput(f"mapping {name}={column}: the log has no such column; {hint}")
        fields = {name: source for name in FIELDS if (source := _field(name, names, mapping, kinds)) is not None}
        extras = {name: source for name in rewards if (source := _reward(name, names, mapping, kinds)) is not None}
        assigned = {*fields.values(), *extras.values(), *mapping.values()}
        free = [name for name in names if name not in assigned and not name.startswith(RESERVED)]
        features = {name: mapping.get(name) or _feature(name, kind, free) for name, kind in kinds.items()}
        known = {name: columns for name, columns in features.items() if columns}
        used = {column for columns in known.values() for column in ([columns] if isinstance(columns, str) else columns)}
        patterns = [re.compile(_pattern(column)) for column in fields.values() if "*" in column]
        others = [name for name in free if name not in used and not any(each.fullmatch(name) for each in patterns)]
        return cls(fields, known, extras, others, [name for name in kinds if name not in known])

    def by_action(self, names: Sequence[str]) -> dict[str, str]:
        """The columns of the actions' probabilities by action, where the field probabilities is a pattern as p_*."""
        pattern = re.compile(_pattern(self.fields["probabilities"]))
        return {match[1]: name for name in names if (match := pattern.fullmatch(name))}

    def of_action(self, batch: RawBatch) -> np.ndarray:
        """The probability of each row's action [B], in the column named after it; NaN where it is missing."""
        by_action, cells = self.by_action(batch.table.column_names), batch.cells(self.fields["action"])
        places = pc.index_in(values.texts(cells), pa.array(list(by_action), pa.string())).fill_null(-1)
        positions = places.to_numpy(zero_copy_only=False)
        cells.refuse(positions < 0, f"is none of the actions {', '.join(by_action)}")
        matrix = np.column_stack([values.numbers(batch.cells(column), 0, 1) for column in by_action.values()])
        return matrix[np.arange(len(positions)), positions]

    def check_others(self, kinds: Kinds) -> None:
        """InvalidInput: columns are neither mapped nor features; lists them, with the nearest name of the first."""
        if self.others:
            listed = ", ".join(self.others[:20]) + (", …" if len(self.others) > 20 else "")
            hint = nearest(self.others[0], [*FIELDS, *kinds])
            raise InvalidInput(
                f"columns {listed}: are neither mapped nor features of the task ({self.others[0]}: {hint}): "
                "--map them, or leave them out with --ignore-others"
            )


def _field(name: str, names: Sequence[str], mapping: Mapping[str, str], kinds: Kinds) -> str | None:
    """The column of a field: the mapped one, the format's own, one of its name, or the only one of a usual name."""
    if name in mapping:
        return mapping[name]
    if name in EPISODE_FIELDS and name in kinds:
        return None  # it is the feature's
    for column in (RESERVED + name, name):
        if column in names:
            return column
    free = [column for column in names if column not in mapping.values()]
    matching = [column for column in free if bare_name(column) in USUAL_NAMES.get(name, ())]
    if name in EPISODE_FIELDS:
        matching = [column for column in matching if column not in kinds]
    return matching[0] if len(matching) == 1 else None


def _reward(name: str, names: Sequence[str], mapping: Mapping[str, str], kinds: Kinds) -> str | None:
    """The column of a further reward: the mapped one, that of ReAgent's metrics, or one of its name."""
    columns = [mapping.get(name), f"{METRICS}.{name}", None if name in {*FIELDS, *kinds} else name]
    return next((column for column in columns if column in names), None)


def _feature(name: str, kind: object, free: Sequence[str]) -> str | tuple[str, ...] | None:
    """The column of a feature: of its name, or the only one whose name differs in punctuation or in a dotted prefix."""
    if name in free:
        return name
    if isinstance(kind, Vector):
        numbered = tuple(f"{name}_{number}" for number in range(kind.vector))
        by_plain = {_plain(column): column for column in free}
        if all(_plain(column) in by_plain for column in numbered):
            return tuple(by_plain[_plain(column)] for column in numbered)
    for spelled in (_plain, lambda column: _plain(column.rpartition(".")[2])):
        matching = [column for column in free if spelled(column) == _plain(name)]
        if len(matching) == 1:
            return matching[0]
    return None


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _exists(column: str, names: Sequence[str]) -> bool:
    return column in names or ("*" in column and any(re.fullmatch(_pattern(column), name) for name in names))


def _pattern(column: str) -> str:
    """The regular expression of a pattern such as p_*."""
    before, _, after = column.partition("*")
    return f"{re.escape(before)}(.+){re.escape(after)}" if "*" in column else re.escape(column)
