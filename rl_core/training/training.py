"""One training of a policy: its parent, the encoding of its statistics, and the manifest of its result."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.actions_seen import ActionsSeen
from banditloop.rl_core.events.feature_types import features_type
from banditloop.rl_core.events.table_file import action_ids
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.manifest import Manifest, Window, read_manifest
from banditloop.rl_core.settings.section import explain
from banditloop.rl_core.settings.task import ActionTable, Task
from banditloop.rl_core.training.lineage import FIT_ROWS, next_manifest
from banditloop.rl_core.training.train import checked_contexts

ReadTable = Callable[[str], pa.Table | None]  # the content of a table by its name; None: there is none


@dataclass(frozen=True)
class Training:
    """A training: the parent that it resumes from and the previous policy, if any, and its statistics' encoding."""

    config: Config
    parent: Manifest | None
    previous: Manifest | None
    previous_encoding: Encoding | None
    encoding: Encoding

    @classmethod
    def on_examples(
        cls, config: Config, examples: Path, parent: Path | None, previous: Path | None, read_table: ReadTable
    ) -> "Training":
        """The training on a folder of examples; parent, previous: policy directories; read_table: as for `of`.

        Its encoding is the parent's, or one fitted to the examples.
        """
        from banditloop.rl_core.events.examples import example_actions, example_files, read_examples

        tables = read_examples(example_files(examples), config.task)
        encoding = Encoding.read(parent) if parent else fit_encoding(Encoding.unfitted(config.task), tables)
        return cls.of(config, encoding, example_actions(examples, config.task), parent, previous, read_table)

    @classmethod
    def of(
        cls,
        config: Config,
        encoding: Encoding,
        seen: ActionsSeen,
        parent: Path | None,
        previous: Path | None,
        read_table: ReadTable = lambda name: None,
    ) -> "Training":
        """The training on interactions in which these actions were seen; parent, previous: policy directories.

        The encoding is extended by these actions and their features. Features in the task's table of actions, which
        `read_table` reads, take precedence.
        """
        encoding = with_seen(encoding, config, seen)
        known = encoding.action_features | seen.features
        current = table_features(config.task, read_table).items()
        features = seen.features | {action: known.get(action, {}) | values for action, values in current}
        encoding = encoding.with_features(config.task, features)
        return cls(
            config,
            read_manifest(parent) if parent else None,
            read_manifest(previous) if previous else None,
            Encoding.read_if_any(previous) if previous else None,
            encoding,
        )

    def result(
        self, window: Window, statistics: Statistics, run_id: str, content: str = ""
    ) -> tuple[Manifest, Encoding]:
        """The manifest and the encoding of the policy with the trained statistics.

        content: a digest of the examples; empty for those of a loop's log, which the window identifies.
        """
        generation = self.previous.generation + 1 if self.previous else 1
        manifest = next_manifest(self.config, window, self.parent, self.encoding, generation, run_id, content)
        new = self._new_actions(action_counts(statistics, manifest.actions)) if generation > 1 else []
        return manifest, self.encoding.model_copy(update={"new_actions": new})

    def _new_actions(self, counts: np.ndarray) -> list[str]:
        """The actions that joined after the first training and were not tried enough; counts: interactions of each."""
        previous = self.previous_encoding or self.encoding
        settled = set(previous.action_ids) - set(previous.new_actions)
        is_tried_little = counts < self.config.policy.new_action_trials
        pairs = zip(self.encoding.action_ids, is_tried_little, strict=True)
        return [action for action, tried_little in pairs if tried_little and action not in settled]


def with_seen(encoding: Encoding, config: Config, seen: ActionsSeen) -> Encoding:
    """The encoding with the actions of the task, and those that were seen."""
    return encoding.with_actions([*(config.task.action_ids or ()), *seen.ids])


def table_features(task: Task, read_table: ReadTable) -> dict[str, dict[str, Any]]:
    """The features of all actions in the task's table of actions, by id; empty without such a table, or features.

    They are checked as in requests. Empty texts and lists count as missing: CSV and BigQuery may lack nulls for them.

    Raises:
        InvalidInput: the table has no column of ids, or a value does not fit the task; names action and column.
    """
    if not (isinstance(task.actions, ActionTable) and task.action_features):
        return {}
    content = read_table(task.actions.table)
    if content is None:
        return {}
    where = f"task.actions.table = {task.actions.table!r}"
    content = content.filter(action_ids(content, task.actions).is_valid())
    columns = {
        field.name: _cast(content[field.name], field, where)
        for field in task.candidate_type
        if field.name in content.column_names
    }
    if not columns:
        return {}
    row_type = TypeAdapter(features_type(task.action_features))
    features = {}
    for action, *row in zip(map(str, content[task.actions.id].to_pylist()), *columns.values(), strict=True):
        try:
            features[action] = row_type.validate_python(dict(zip(columns, row, strict=True)))
        except ValidationError as error:
            raise InvalidInput(f"{where}: action {action!r}: {explain(error)}") from None
    return features


def _cast(values: pa.ChunkedArray, field: pa.Field, where: str) -> list[Any]:
    """The values of a column of the table in the feature's type; None where they are missing."""
    try:
        return [None if value in ("", []) else value for value in values.cast(field.type).to_pylist()]
    except pa.ArrowException as error:
        raise InvalidInput(f"{where}: column {field.name}: {error}") from None


def fit_encoding(encoding: Encoding, interactions: Iterable[pa.Table]) -> Encoding:
    """The encoding with its encoder of contexts fitted to the first FIT_ROWS interactions."""
    if not encoding.context.is_fitted:
        return encoding
    arrays, rows = [], 0
    for table in interactions:
        arrays.append(checked_contexts(table.slice(0, FIT_ROWS - rows), encoding.context))
        rows += len(arrays[-1])
        if rows >= FIT_ROWS:
            break
    context = encoding.context.fit(pa.concat_arrays(arrays)) if rows else encoding.context
    return encoding.model_copy(update={"context": context})


def action_counts(statistics: Statistics, actions: int) -> np.ndarray:
    """Interactions of each action [actions]; the largest number where an agent does not count them."""
    return statistics.get("counts", np.full(actions, np.iinfo(np.int64).max))
