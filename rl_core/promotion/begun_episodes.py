"""The episodes that began in a window of the log, as far as all of them are complete: the sample of an A/B test.

Which episodes are complete at a moment depends on what the versions do: short ones are first. So the complete episodes
of a version are no fair sample of its episodes; those that began up to some time are, once all of them are complete.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.config import Config
from banditloop.rl_core.evaluation.available_policies import loader
from banditloop.rl_core.evaluation.log_window import LoggedWindow
from banditloop.rl_core.events.holdout import is_held_out
from banditloop.rl_core.features.encoding import with_features_of
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform, Warehouse, action_counts
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.training.transitions import starts_episode

BEGINNING = datetime.fromtimestamp(0, UTC)
RESOLUTION = timedelta(seconds=1)  # of the time at which the sample ends


class BegunEpisodes(NamedTuple):
    """The log time up to which all begun episodes are complete, their first decisions, and the number of decisions."""

    until: datetime
    first: LoggedWindow
    decisions: int

    @property
    def ids(self) -> pa.Array:
        """The ids of the episodes."""
        return self.first.table["episode_id"].unique() if self.first.table.num_rows else pa.array([], pa.string())


def begun_episodes(
    platform: Platform,
    config: Config,
    window: Window,
    compared: Sequence[SavedPolicy],
    complete: Collection[str],
    held_out: float | None = None,
) -> BegunEpisodes:
    """The episodes that began in a window, before the first one that is not complete.

    complete: ids of the complete episodes. compared: two versions that shared the traffic. held_out: the fraction of
    episodes that is held out, to read only these; None: to read all.
    """
    section = config.episodes
    assert section
    versions, task = action_counts(platform.endpoint), with_features_of(config.task, [p.encoding for p in compared])
    open_since = window.until - timedelta(seconds=section.window_seconds)
    log = _Log(platform.warehouse.reading(task), pa.array(complete, pa.string()), open_since, held_out)
    part = log.complete_part(window.since or BEGINNING, window.until, log.begun_before(window.since, section))
    load, sharing = loader(platform.endpoint, versions, task), [policy.manifest.version for policy in compared]
    first = [batch for table in part.first for batch in log.of_complete(table).to_batches()]
    return BegunEpisodes(part.until, LoggedWindow.of(config, load, first, sharing), part.decisions)


class _Part(NamedTuple):
    """The first decisions of the episodes that began in a part of a window, the number of decisions, and its end."""

    first: list[pa.Table]
    decisions: int
    until: datetime


@dataclass(frozen=True)
class _Log:
    """A warehouse, the ids of complete episodes, and the time before which every episode that began is complete."""

    warehouse: Warehouse
    complete: pa.Array
    open_since: datetime
    held_out: float | None

    def begun_before(self, time: datetime | None, section: EpisodesSection) -> pa.Array:
        """The ids of the episodes that may go on after a time: with a decision in `window_seconds` before it."""
        if time is None:
            return pa.array([], pa.string())
        since = time - timedelta(seconds=section.window_seconds)
        return self.warehouse.episode_ids(Window(since=since, until=time, interactions=0))

    def complete_part(self, since: datetime, until: datetime, earlier: pa.Array) -> _Part:
        """The part between two times up to the first episode that is not complete; earlier: ids of those before it."""
        batches = [*self.warehouse.interactions(Window(since=since, until=until, interactions=0))]
        first = self._first(batches, earlier)
        if until <= self.open_since or all(self.of_complete(table).num_rows == table.num_rows for table in first):
            return _Part(first, sum(batch.num_rows for batch in batches), until)
        if until - since <= RESOLUTION:
            return _Part([], 0, since)
        middle = since + (until - since) / 2
        before = self.complete_part(since, middle, earlier)
        if before.until < middle:
            return before
        begun = [chunk for table in before.first for chunk in table["episode_id"].chunks]
        after = self.complete_part(middle, until, pa.concat_arrays([earlier, *begun]))
        return _Part(before.first + after.first, before.decisions + after.decisions, after.until)

    def of_complete(self, table: pa.Table) -> pa.Table:
        """The rows of complete episodes."""
        return table.filter(pc.is_in(table["episode_id"], self.complete))

    def _first(self, batches: list[pa.RecordBatch], earlier: pa.Array) -> list[pa.Table]:
        """The logged decision of the least step of every episode but the earlier ones; in one table, or none.

        Of held-out episodes only, if `held_out` is set.
        """
        if not batches:
            return []
        table = pa.Table.from_batches(batches)
        ids = table["episode_id"]
        is_new = pc.and_(table["step"].is_valid(), pc.invert(pc.is_in(ids, earlier)))
        steps = table.filter(pc.and_(ids.is_valid(), is_new)).sort_by(
            [("episode_id", "ascending"), ("step", "ascending")]
        )
        first = steps.filter(pa.array(starts_episode(steps)))
        if self.held_out is None:
            return [first]
        return [
            first.filter(
                pa.array([is_held_out(id_, self.held_out) for id_ in first["episode_id"].to_pylist()], pa.bool_())
            )
        ]
