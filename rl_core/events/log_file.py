"""Logs of one's own in a file: rows with a column per feature, the action and the reward, as interactions of a task."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.rows import decision_table
from banditloop.rl_core.events.schema import TIME, interaction_schema
from banditloop.rl_core.events.table_file import read_table_file
from banditloop.rl_core.settings.feature_kinds import nearest
from banditloop.rl_core.settings.task import Task

NEEDED = {"action": pa.string(), "reward": pa.float64()}
OPTIONAL = {"propensity": pa.float64(), "timestamp": TIME, "event_id": pa.string()}
APPLICATION = "application"  # the policy version of decisions that an application took itself
UNDATED = datetime(2000, 1, 1, tzinfo=UTC)  # of rows without a time
BATCH_ROWS = 8_192


@dataclass(frozen=True)
class LogFile:
    """The rows of a log, as they are and in columns of a task's types.

    Rows without a propensity say nothing about other policies: theirs is 1. The probabilities of the actions that were
    not taken are unknown, and written as equal.
    """

    task: Task
    rows: pa.Table
    columns: pa.Table  # event_id, timestamp, action, propensity, reward and the features of the context
    candidates: tuple[str, ...]
    dated: bool  # whether the rows have times

    @classmethod
    def read(cls, path: Path, task: Task, names: Mapping[str, str] | None = None) -> "LogFile":
        """The log in a Parquet, CSV or JSON lines file, or in a folder of them.

        names: those of the log's columns by what they are for, where they have other names.

        Raises:
            InvalidInput: it cannot be read, a column is missing, or has values of another kind; names it.
        """
        files = sorted(path.glob("[!._]*")) if path.is_dir() else [path]
        tables = [read_table_file(file) for file in files]
        if not any(table.num_rows for table in tables):
            raise InvalidInput(f"log {path}: has no rows")
        return cls.of(pa.concat_tables(tables, promote_options="permissive"), task, names)

    @classmethod
    def of(cls, rows: pa.Table, task: Task, names: Mapping[str, str] | None = None) -> "LogFile":
        """The log with these rows; arguments and errors as for `read`."""
        names, known = names or {}, [*NEEDED, *OPTIONAL, *task.context]
        for key in names:
            if key not in known:
                raise InvalidInput(f"columns.{key}: is unknown; {nearest(key, known, 'the log of this task')}")
        kinds = NEEDED | OPTIONAL | {field.name: field.type for field in task.context_type if task.context}
        columns = pa.table({key: _column(rows, key, kind, names) for key, kind in kinds.items()})
        if missing := columns["action"].null_count:
            raise InvalidInput(f"log: {missing:,} rows have no action")
        if names.get("event_id", "event_id") not in rows.column_names:
            columns = columns.set_column(columns.column_names.index("event_id"), "event_id", pa.array(_row_ids(rows)))
        candidates = task.action_ids or tuple(sorted(columns["action"].unique().to_pylist()))
        return cls(task, rows, columns, candidates, columns["timestamp"].null_count < rows.num_rows)

    @property
    def event_ids(self) -> list[str]:
        """The ids of the rows; without a column of ids they are derived from the content, and so stay the same."""
        return self.columns["event_id"].to_pylist()

    @property
    def last(self) -> datetime | None:
        """The time of the last row; None if they have no times."""
        return pc.max(self.columns["timestamp"]).as_py()

    def digest(self) -> str:
        """A digest of the content."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.columns.schema) as writer:
            writer.write_table(self.columns.combine_chunks())
        return hashlib.sha256(sink.getvalue()).hexdigest()[:16]

    def where(self, mask: pa.Array | pa.ChunkedArray) -> "LogFile":
        """The rows at which a mask is true."""
        return replace(self, rows=self.rows.filter(mask), columns=self.columns.filter(mask))

    def until(self, time: datetime | None) -> "LogFile":
        """The rows up to a time; all if they have no times."""
        if time is None or not self.dated:
            return self
        return self.where(pc.less_equal(self.columns["timestamp"], pa.scalar(time, TIME)))

    def interactions(self, default_reward: float | Literal["ignore"]) -> Iterator[pa.RecordBatch]:
        """The rows as interactions, in batches; default_reward: of rows without one, or "ignore" these."""
        for batch in self.columns.to_batches(BATCH_ROWS):
            rewards = batch["reward"] if default_reward == "ignore" else batch["reward"].fill_null(default_reward)
            table = self._decisions(batch).append_column("reward", rewards)
            table = table.filter(table["reward"].is_valid()).cast(interaction_schema(self.task))
            yield from table.combine_chunks().to_batches()

    def _decisions(self, batch: pa.RecordBatch) -> pa.Table:
        propensities, kind = batch["propensity"].fill_null(1.0), self.task.context_type
        features = [batch[name] for name in self.task.context] or [pa.nulls(batch.num_rows, pa.bool_())]
        return decision_table(
            self.task,
            event_id=batch["event_id"],
            timestamp=batch["timestamp"].fill_null(pa.scalar(UNDATED, TIME)),
            policy_version=APPLICATION,
            context=pa.StructArray.from_arrays(features, fields=list(kind)),
            action=batch["action"],
            propensity=propensities,
            probabilities=self._probabilities(batch["action"], propensities.to_numpy()),
            candidates=[[] if self.task.numbered else list(self.candidates)] * batch.num_rows,
            mode="external",
        )

    def _probabilities(self, actions: pa.Array, propensities: np.ndarray) -> pa.Array:
        """Those of all candidates, of which only that of the action is known."""
        count, row = len(self.candidates), np.arange(len(actions))
        positions = pc.index_in(actions, pa.array(self.candidates)).fill_null(-1).to_numpy()
        probabilities = np.repeat((1 - propensities)[:, None] / max(1, count - 1), count, axis=1)
        probabilities[row, positions] = propensities
        return pa.ListArray.from_arrays(np.arange(0, len(row) * count + 1, count, np.int32), probabilities.ravel())


def _column(rows: pa.Table, key: str, kind: pa.DataType, names: Mapping[str, str]) -> pa.ChunkedArray:
    """The column for a key in its type; nulls where it may be missing and is."""
    name = names.get(key, key)
    if name not in rows.column_names:
        if key in OPTIONAL and key not in names:
            return pa.chunked_array([pa.nulls(rows.num_rows, kind)])
        hint = nearest(name, rows.column_names, "the log")
        raise InvalidInput(f"log: has no column {name!r} for {key}; {hint}. Name it in columns.{key}")
    try:
        return _times(rows[name]) if kind == TIME else rows[name].cast(kind)
    except pa.ArrowException as error:
        raise InvalidInput(f"log: column {name!r} for {key}: {error}") from None


def _times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times in UTC; those without a zone are UTC."""
    if pa.types.is_string(column.type):
        return pa.chunked_array([pa.array([text and _time(text) for text in column.to_pylist()], TIME)])
    return column.cast(pa.timestamp("us", column.type.tz) if pa.types.is_timestamp(column.type) else TIME).cast(TIME)


def _time(text: str) -> datetime:
    try:
        return parse_time(text)
    except InvalidInput as error:
        raise pa.ArrowInvalid(str(error)) from None


def parse_time(text: str) -> datetime:
    """The time of an ISO 8601 text, in UTC if it names no zone. InvalidInput: it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"time {text!r}: give one as 2026-01-31T12:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _row_ids(rows: pa.Table) -> list[str]:
    """Hashes of the rows' content; equal rows are told apart by how often they occurred before."""
    counts, ids = Counter[str](), []
    for row in rows.to_pylist():
        content = hashlib.sha256(orjson.dumps(row, default=_text, option=orjson.OPT_SERIALIZE_NUMPY)).hexdigest()[:24]
        ids.append(f"{content}-{counts[content]}")
        counts[content] += 1
    return ids


def _text(value: Any) -> str:
    return str(value)
