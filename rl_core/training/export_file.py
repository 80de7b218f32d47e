"""Interactions of a log in a file written as examples to train on, and those held out beside them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.examples import write_examples
from banditloop.rl_core.events.holdout import is_held_out
from banditloop.rl_core.events.schema import TIME
from banditloop.rl_core.events.transitions import KIND
from banditloop.rl_core.events.usable import UsableInteractions
from banditloop.rl_core.logs.artifact import artifact_events
from banditloop.rl_core.logs.events import LoggedEvents, interactions
from banditloop.rl_core.logs.transitions import transitions
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.training.export import Export, parse_time, write_usable


def export_file(
    config: Config, log: Path, columns: Mapping[str, str], examples: Path, held_out: Path, as_of: str = ""
) -> Export:
    """Write the interactions of a log in a file as examples, and its held-out rows unchanged to `held_out`.

    In a config with episodes, the transitions of the log's episodes are written; episodes are held out whole. columns:
    names of the log's columns, as for `artifact_events`. as_of: time up to which it is read, ISO 8601; empty: all.

    Raises:
        InvalidInput: the file cannot be read, a row is wrong, or no interaction can be learned from.
    """
    usable = UsableInteractions(config.task, {})
    hold_out_column = "episode_id" if config.episodes else "event_id"
    reading = LogReading(config.gate.holdout_fraction, parse_time(as_of) if as_of else None, hold_out_column)
    log_events = reading.training(artifact_events(log, config.task, columns, config.reward.name, config.other_rewards))
    if config.episodes:
        batches = transitions(log_events, config.task, config.episodes, config.reward, usable.left_out)
        count = write_examples(usable.episodes_of(batches), examples, config.examples.format)
    else:
        rows = interactions(log_events, config.task, config.reward.of_missing)
        count = write_usable(config, usable, rows, {}, examples)
    if not count:
        raise InvalidInput(
            f"log {log}: no interaction can be learned from; {usable.example or 'too few have a reward'}"
        )
    held_out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.concat_tables(reading.held_out, promote_options="permissive"), held_out)
    window = Window(until=reading.until, interactions=count)
    export = Export.of(window, None, None, dict(usable.left_out))
    kind = KIND if config.episodes else {}
    return export._replace(metadata=export.metadata | kind | {"digest": reading.digest.hexdigest()[:16]})


class LogReading:
    """One pass over a log: yields the events to train on; keeps the held-out rows, the latest time and a digest.

    held_out_by: the column by whose hash rows are held out.
    """

    def __init__(self, holdout_fraction: float, as_of: datetime | None, held_out_by: str = "event_id") -> None:
        self._fraction, self._as_of, self._by = holdout_fraction, as_of, held_out_by
        self.held_out: list[pa.Table] = []
        self.until = datetime.fromtimestamp(0, UTC)
        self.digest = hashlib.sha256()

    def training(self, log: Iterable[LoggedEvents]) -> Iterator[LoggedEvents]:
        """The events up to `as_of`, without held-out decisions."""
        for events in log:
            times = events.decisions["timestamp"]
            in_time = np.ones(len(times), bool)
            if self._as_of:
                in_time = pc.less_equal(times, pa.scalar(self._as_of, TIME)).to_numpy()
            ids = events.decisions[self._by].to_pylist()
            is_out = np.array([id_ is not None and is_held_out(id_, self._fraction) for id_ in ids], bool)
            self.held_out.append(events.raw.table.filter(pa.array(in_time & is_out)))
            decisions = events.decisions.filter(pa.array(in_time & ~is_out))
            if decisions.num_rows:
                self.until = max(self.until, pc.max(decisions["timestamp"]).as_py())
            for table in (decisions, events.rewards):
                self.digest.update(orjson.dumps(table.to_pydict(), default=str))
            yield events._replace(decisions=decisions)
