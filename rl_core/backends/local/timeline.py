"""Episodes in the local log: their transitions, and counts of the decisions."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa

from banditloop.rl_core.backends import episode_query
from banditloop.rl_core.backends.local import queries
from banditloop.rl_core.backends.local.event_log import EventLog
from banditloop.rl_core.backends.local.event_table import EPOCH
from banditloop.rl_core.backends.local.file_slices import batch_rows
from banditloop.rl_core.events.holdout import Fold
from banditloop.rl_core.events.schema import decision_schema
from banditloop.rl_core.events.timeline import transitions_of
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports.warehouse import EpisodeCounts

DIALECT = episode_query.Dialect(
    key="number",
    rewards="rewards",
    is_in_time=queries.IS_IN_TIME,
    latest="{first} + to_microseconds($episode_window)",
    fold_filters=queries.fold_filters("episode_id"),
)


def transitions(log: EventLog, window: Window, fold: Fold | None, held_out: str) -> Iterator[pa.RecordBatch]:
    """The transitions of a window.

    Decisions before the window are read, too: they tell which episodes were complete before it.
    """
    names = log.in_episodes.value_names(log.reward.name)
    files = log.snapshots()["decisions"].logged(EPOCH, window.until)
    query = episode_query.timeline(DIALECT, decision_schema(log.task).names, len(names), log.reward.aggregation, fold)
    parameters = _parameters(log, window.since or EPOCH, window.until)
    parameters |= episode_query.name_parameters(names) | ({"held_out": held_out} if fold else {})
    if files:
        with log.connection(files) as connection:
            batches = connection.sql(f"WITH {query}", params=parameters).to_arrow_reader(batch_rows(files))
            yield from transitions_of(batches, log.task, log.in_episodes, log.reward)


def counts(log: EventLog, until: datetime) -> EpisodeCounts:
    """The decisions logged up to a time, counted by what they are in the timeline."""
    parameters = _parameters(log, EPOCH, until)
    with log.connection(log.snapshots()["decisions"].logged(EPOCH, until)) as connection:
        [row] = connection.execute(f"WITH {episode_query.counts(DIALECT)}", parameters).fetchall()
    return EpisodeCounts(*row)


def _parameters(log: EventLog, since: datetime, until: datetime) -> dict[str, Any]:
    return episode_query.parameters(log.in_episodes) | log.durations | {"complete_since": since, "until": until}
