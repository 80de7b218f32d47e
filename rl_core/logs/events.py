"""Decisions and rewards of a task from rows of a log."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.errors import InvalidInput, brief
from banditloop.rl_core.events.consistency import contradictions
from banditloop.rl_core.events.rows import decision_table, reward_table
from banditloop.rl_core.events.schema import APPLICATION, TIME, interaction_schema
from banditloop.rl_core.logs import values
from banditloop.rl_core.logs.batches import Cells, RawBatch, array_of, combined
from banditloop.rl_core.logs.choices import LoggingPolicy, read_choices, read_probabilities
from banditloop.rl_core.logs.columns import RESERVED, Columns
from banditloop.rl_core.logs.episodes import EpisodeReader
from banditloop.rl_core.logs.identities import Occurrences, content_ids
from banditloop.rl_core.logs.nested import flatten, table_of
from banditloop.rl_core.logs.times import read_times
from banditloop.rl_core.settings.feature_kinds import Kinds
from banditloop.rl_core.settings.task import MAX_ID_LENGTH, Task

UNTIMED = datetime(2025, 1, 1, tzinfo=UTC)  # of the first row of a log without times; each next one is 1 ms later
MAX_SOURCE = 100  # characters


class LoggedEvents(NamedTuple):
    """A batch of decisions, and the rewards of those that have any; `raw` is what they were read from."""

    decisions: pa.Table
    rewards: pa.Table
    raw: RawBatch


class EventReader:
    """Reads decisions and rewards from batches, in the order of the log.

    source: name of this piece of the log, the prefix of its ids; where it has no ids, they are made from its rows.
    """

    def __init__(
        self,
        task: Task,
        reward_name: str,
        source: str = "",
        logging_policy: LoggingPolicy | None = None,
        episodes: EpisodeReader | None = None,
    ) -> None:
        if len(source) > MAX_SOURCE or not source.isprintable():
            raise InvalidInput(f"--source {brief(source)}: give at most {MAX_SOURCE} printable characters")
        self._task, self._reward_name = task, reward_name
        self._source, self._logging_policy = source, logging_policy
        self._occurrences, self._rows, self._episodes = Occurrences(), 0, episodes

    def read(self, batch: RawBatch, columns: Columns) -> LoggedEvents:
        """The events of a batch.

        Raises:
            InvalidInput: a row is wrong; names file, row and value. Or the log has no ids and no source.
        """
        ids, times = self._ids(batch, columns), self._times(batch, columns)
        choices = read_choices(batch, columns, self._task)
        probabilities = read_probabilities(batch, columns, choices, self._logging_policy)
        decisions = decision_table(
            self._task,
            event_id=ids,
            timestamp=times,
            policy_version=APPLICATION,
            context=self._contexts(batch, columns),
            action=choices.actions,
            propensity=probabilities[choices.chosen],
            probabilities=choices.lists(pa.array(probabilities)),
            candidates=choices.lists(choices.ids) if choices.listed else [[]] * len(ids),
            candidate_features=self._candidate_features(batch, columns, choices.lengths),
            mode="external",
            logging_probability=_logging_probability(batch, columns),
            **(self._episodes.fields(batch, columns) if self._episodes else {}),
        )
        for row, text in contradictions(decisions, self._task).items():
            raise InvalidInput(f"{batch.where(row)}: {text}")
        self._rows += len(ids)
        return LoggedEvents(decisions, self._rewards(batch, columns, ids, times), batch)

    def _ids(self, batch: RawBatch, columns: Columns) -> pa.Array:
        cells = batch.find(columns.fields.get("event_id"))
        if cells is None:
            if not self._source:
                raise InvalidInput(
                    f"{batch.path}: no column has ids: --map event_id=COLUMN, or name this piece of the log by "
                    "--source NAME; imported again under its name it adds nothing, and each piece needs its own"
                )
            return pa.array(content_ids(self._source, batch.table, self._occurrences), pa.string())
        prefix = f"{self._source}-" if self._source else ""
        ids = values.texts(cells, MAX_ID_LENGTH - len(prefix))
        cells.refuse(ids.is_null().to_numpy(zero_copy_only=False), "give the id of the decision")
        return pc.binary_join_element_wise(prefix, ids, "") if prefix else ids

    def _times(self, batch: RawBatch, columns: Columns) -> pa.Array:
        cells = batch.find(columns.fields.get("timestamp"))
        if cells is None:
            first, rows = int(UNTIMED.timestamp() * 1e6) + 1000 * self._rows, batch.table.num_rows
            return pa.array(first + 1000 * np.arange(rows)).cast(pa.timestamp("us")).cast(TIME)
        times = read_times(cells)
        cells.refuse(times.is_null().to_numpy(zero_copy_only=False), "give the time of the decision")
        return times

    def _contexts(self, batch: RawBatch, columns: Columns) -> pa.StructArray:
        sources = {name: _cells(batch, column) for name, column in columns.features.items()}
        return _struct(sources, self._task.context, self._task.context_type, batch.table.num_rows)

    def _candidate_features(self, batch: RawBatch, columns: Columns, lengths: np.ndarray) -> Any:
        """The features of the candidates by name, if both the task and the log have any."""
        cells, kinds = batch.find(columns.fields.get("candidate_features")), self._task.action_features
        if not kinds or cells is None:
            return [[]] * len(lengths)
        hint = "give a list with the features of each candidate"
        given = values.lists(cells, hint)
        cells.refuse(np.array([len(items or ()) for items in given]) != lengths, hint)
        rows = [flatten(item) if isinstance(item, dict) else {} for items in given for item in items or ()]
        row_of, table = np.repeat(np.arange(len(lengths)), lengths), table_of(rows)
        features = Columns.of(table.column_names, {}, kinds).features
        sources = {
            name: Cells(f"{cells.name.removeprefix(RESERVED)}.{name}", combined(table[source]), batch, row_of)
            for name, source in features.items()
            if isinstance(source, str)
        }
        items = _struct(sources, kinds, self._task.candidate_type, len(rows))
        return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], lengths.cumsum()]).astype(np.int32)), items)

    def _rewards(self, batch: RawBatch, columns: Columns, ids: pa.Array, times: pa.Array) -> pa.Table:
        cells, (low, high) = batch.find(columns.fields.get("reward")), self._task.rewards
        rewards = np.full(len(ids), np.nan)
        if cells:
            rewards = values.numbers(cells)
            inside = np.isnan(rewards) | self._task.rewards.contains(rewards)
            cells.refuse(~inside, f"is outside task.reward_range, {low:g} to {high:g}")
        by_name = {self._reward_name: rewards}
        by_name |= {name: values.numbers(batch.cells(column)) for name, column in columns.rewards.items()}
        return pa.concat_tables([_earned(name, earned, ids, times) for name, earned in by_name.items()])


def _earned(name: str, rewards: np.ndarray, ids: pa.Array, times: pa.Array) -> pa.Table:
    """The rewards of a name [B], NaN where there is none."""
    has = pa.array(~np.isnan(rewards))
    earned = rewards[~np.isnan(rewards)]
    return reward_table(
        event_id=ids.filter(has), value=earned, timestamp=times.filter(has), name=name, source_id="import"
    )


def interactions(events: Iterable[LoggedEvents], task: Task, default: float | None) -> Iterator[pa.RecordBatch]:
    """The decisions with their rewards, in the form of `interaction_schema`.

    default: the reward of a decision without any; None: it is left out.
    """
    field = interaction_schema(task).field("reward")
    for decisions, rewards, _ in events:
        places = pc.index_in(decisions["event_id"], rewards["event_id"].combine_chunks())
        earned = rewards["value"].combine_chunks().take(places.combine_chunks())
        earned = earned.fill_null(default) if default is not None else earned
        table = decisions.append_column(field, [earned])
        yield from table.filter(earned.is_valid()).combine_chunks().to_batches()


def _cells(batch: RawBatch, column: str | tuple[str, ...]) -> Cells:
    """A column, or numbered columns as one column of lists; a list is missing where the first number is."""
    if isinstance(column, str):
        return batch.cells(column)
    parts = np.column_stack([values.numbers(batch.cells(name)) for name in column])
    return Cells(f"{column[0]} to {column[-1]}", array_of([None if np.isnan(row[0]) else row for row in parts]), batch)


def _struct(sources: dict[str, Cells], kinds: Kinds, kind: pa.StructType, rows: int) -> pa.StructArray:
    """The features as a struct [rows]; those without a source are null."""
    arrays = [
        values.feature(sources[field.name], kinds[field.name]).cast(field.type)
        if field.name in sources
        else pa.nulls(rows, field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _logging_probability(batch: RawBatch, columns: Columns) -> np.ndarray:
    cells = batch.find(columns.fields.get("logging_probability"))
    if cells is None:
        return np.ones(batch.table.num_rows)
    hint = "give a probability above 0 and at most 1"
    probabilities = values.numbers(cells, 0, 1, hint)
    cells.refuse(~(probabilities > 0), hint)
    return probabilities
