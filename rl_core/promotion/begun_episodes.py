"""The episodes that began in a window of the log, as far as all of them are complete: the sample of an A/B test.

Which episodes are complete at a moment depends on what the versions do: short ones are first. What a version's complete
episodes earned until then is no sample of what its episodes earn; what those earned that began until some time, is.
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

BEGINNING = datetime.fromtimestamp(0, UTC)
RESOLUTION = timedelta(seconds=1)  # of the time at which the sample ends


class BegunEpisodes(NamedTuple):
    """The log time up to which all episodes that began are complete, their first decisions, and the number of all."""

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
    """The episodes that began in a window until the first of which some is not complete; complete: ids of those known.

    compared: two versions that shared the traffic. held_out: the fraction of episodes that is held out, to look at
    these only; None: at all.
    """
    assert config.episodes
    versions, task = action_counts(platform.endpoint), with_features_of(config.task, [p.encoding for p in compared])
    open_since = window.until - timedelta(seconds=config.episodes.window_seconds)
    log = _Log(platform.warehouse.reading(task), complete, open_since, held_out)
    batches, until = log.complete_part(window.since or BEGINNING, window.until)
    first = [begun for batch in batches if (begun := log.begun(batch)).num_rows]
    load, sharing = loader(platform.endpoint, versions, task), [policy.manifest.version for policy in compared]
    decisions = sum(batch.num_rows for batch in batches)
    return BegunEpisodes(until, LoggedWindow.of(config, load, first, sharing), decisions)


@dataclass(frozen=True)
class _Log:
    """A warehouse, the ids of complete episodes, and the time before which every episode that began is complete."""

    warehouse: Warehouse
    complete: Collection[str]
    open_since: datetime
    held_out: float | None

    def complete_part(self, since: datetime, until: datetime) -> tuple[list[pa.RecordBatch], datetime]:
        """The decisions logged between two times, up to the first episode that is not complete, and where they end."""
        batches = [*self.warehouse.interactions(Window(since=since, until=until, interactions=0))]
        if until <= self.open_since or all(self._is_complete(batch) for batch in batches):
            return batches, until
        if until - since <= RESOLUTION:
            return [], since
        middle = since + (until - since) / 2
        before, end = self.complete_part(since, middle)
        if end < middle:
            return before, end
        after, end = self.complete_part(middle, until)
        return before + after, end

    def begun(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The first decisions of episodes."""
        first = batch.filter(pc.equal(batch["step"], 0))
        if self.held_out is None:
            return first
        return first.filter(
            pa.array([is_held_out(id_, self.held_out) for id_ in first["episode_id"].to_pylist()], pa.bool_())
        )

    def _is_complete(self, batch: pa.RecordBatch) -> bool:
        """Whether all episodes that began are complete."""
        return all(id_ in self.complete for id_ in self.begun(batch)["episode_id"].to_pylist())
