"""The episodes that began in a window of the log, as far as all of them are complete: the sample of an A/B test.

Which episodes are complete at a moment depends on what the versions do: short ones are first. What a version's complete
episodes earned until then is no sample of what its episodes earn; what those earned that began until some time, is.
"""

import itertools
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.config import Config
from banditloop.rl_core.evaluation.available_policies import loader
from banditloop.rl_core.evaluation.log_window import LoggedWindow
from banditloop.rl_core.features.encoding import with_features_of
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform, action_counts

BEGINNING = datetime.fromtimestamp(0, UTC)
SLICES = 10  # of the time of a window, which the sample ends with one of


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
    platform: Platform, config: Config, window: Window, compared: Sequence[SavedPolicy], complete: Collection[str]
) -> BegunEpisodes:
    """The episodes that began in a window until the first of which some is not complete; complete: ids of those known.

    compared: two versions that shared the traffic.
    """
    start = window.since or BEGINNING
    versions, task = action_counts(platform.endpoint), with_features_of(config.task, [p.encoding for p in compared])
    warehouse, length = platform.warehouse.reading(task), (window.until - start) / SLICES
    times = [*(start + length * number for number in range(SLICES)), window.until]
    until, first, decisions = start, list[pa.RecordBatch](), 0
    for since, end in itertools.pairwise(times):
        batches = [*warehouse.interactions(Window(since=since, until=end, interactions=0))]
        begun = [batch.filter(pc.equal(batch["step"], 0)) for batch in batches]
        if any(id_ not in complete for batch in begun for id_ in batch["episode_id"].to_pylist()):
            break
        until, first, decisions = end, first + begun, decisions + sum(batch.num_rows for batch in batches)
    load, sharing = loader(platform.endpoint, versions, task), [policy.manifest.version for policy in compared]
    first = [batch for batch in first if batch.num_rows]
    return BegunEpisodes(until, LoggedWindow.of(config, load, first, sharing), decisions)
