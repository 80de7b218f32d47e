"""The local warehouse: two Delta Lake tables, queried out of core by DuckDB."""

import copy
from collections.abc import Callable, Collection, Hashable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from banditloop.rl_core.backends.local import queries, timeline
from banditloop.rl_core.backends.local.complete_window import complete_window
from banditloop.rl_core.backends.local.event_log import EventLog
from banditloop.rl_core.backends.local.event_table import EPOCH
from banditloop.rl_core.backends.local.file_slices import batch_rows, slices
from banditloop.rl_core.backends.local.looks import Look, Looks
from banditloop.rl_core.backends.local.query_cache import MAX_SECONDS, QueryCache
from banditloop.rl_core.backends.local.upgrade import is_upgraded, upgrade
from banditloop.rl_core.events.holdout import Fold, hash_bound
from banditloop.rl_core.events.null_lists import without_null_lists
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import LogCounts
from banditloop.rl_core.ports.warehouse import EpisodeCounts
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.loop import RewardSection
from banditloop.rl_core.settings.task import Task


class LocalWarehouse:
    """See banditloop.rl_core.ports.Warehouse."""

    def __init__(
        self,
        root: Path,
        task: Task,
        reward: RewardSection,
        episodes: EpisodesSection | None,
        held_out: float,
        waiting_since: Callable[[], datetime | None],
    ) -> None:
        self._root, self._log = root, EventLog(root, task, reward, episodes)
        self._waiting_since = waiting_since
        self._held_out = hash_bound(held_out)

    @cached_property
    def _results(self) -> QueryCache:
        return QueryCache()

    @cached_property
    def _looks(self) -> Looks:
        return Looks(self._log)

    def reading(self, task: Task) -> "LocalWarehouse":
        other = copy.copy(self)
        other._log = self._log.reading(task)
        for name in ("_results", "_looks"):
            other.__dict__.pop(name, None)
        return other

    def append(self, table: str, events: pa.Table) -> int:
        return self._log.tables[table].append(events)

    def window(self, since: datetime | None) -> Window:
        return self._kept(("window", since), lambda: complete_window(self._log, since, self._waiting_since))

    def shards(self, window: Window, fold: Fold | None, count: int) -> list[str]:
        return [f"{number}/{count}" for number in range(count)]

    def interactions(self, window: Window, fold: Fold | None = None, shard: str = "") -> Iterator[pa.RecordBatch]:
        schema = interaction_schema(self._log.task)
        for batch in self._read("* EXCLUDE (logged_at, number)", window, fold, shard):
            yield without_null_lists(batch.select(schema.names).cast(schema))

    def episode_ids(self, window: Window) -> pa.Array:
        parts = [batch["episode_id"] for batch in self._read("DISTINCT episode_id", window)]
        return pa.chunked_array(parts, pa.string()).unique().drop_null()

    def _read(
        self, columns: str, window: Window, fold: Fold | None = None, shard: str = ""
    ) -> Iterator[pa.RecordBatch]:
        """Columns of the interactions of a window, read from some files of decisions at a time."""
        query = f"""WITH {self._log.rewarded}
            SELECT {columns} FROM (
                SELECT d.*, {self._log.value} AS reward
                FROM decisions d {"" if self._log.ignores else "LEFT"} JOIN rewarded USING (number)
                WHERE d.logged_at > $since AND d.logged_at <= $until {queries.FOLD_FILTERS[fold]}
                {queries.SHARD_FILTER if shard else ""})"""
        parameters: dict[str, Any] = {"held_out": self._held_out} if fold else {}
        if shard:
            parameters |= zip(("shard", "shards"), map(int, shard.split("/")), strict=True)
        parameters |= {"since": window.since or EPOCH, "until": window.until} | self._log.default
        decisions = self._log.snapshots()["decisions"].logged(window.since or EPOCH, window.until)
        for files in slices(decisions):
            with self._log.connection(files) as connection:
                relation = connection.sql(query, params=parameters | self._log.reward_parameters())
                yield from relation.to_arrow_reader(batch_rows(files))

    def transitions(self, window: Window, fold: Fold | None = None) -> Iterator[pa.RecordBatch]:
        return timeline.transitions(self._log, window, fold, self._held_out)

    def episode_counts(self, until: datetime) -> EpisodeCounts:
        return timeline.counts(self._log, until)

    def policy_totals(self, versions: Collection[str] | None = None) -> list[dict[str, Any]]:
        return self._look().sums.totals(versions)

    def event_counts(self) -> LogCounts:
        sums, tables = self._look()
        received = {name: table.received for name, table in tables.items()}
        duplicate = {name: table.received - table.rows for name, table in tables.items()}
        return LogCounts(received, duplicate, **sums.outcomes)

    def _look(self) -> Look:
        return self._kept("look", lambda: (self._looks.look(), MAX_SECONDS))

    def repair(self) -> int:
        return self._log.repair()

    def upgrade(self) -> int:
        return 0 if is_upgraded(self._root) else upgrade(self._root, self._log.task)

    def _kept(self, key: Hashable, query: Callable[[], tuple[Any, float]]) -> Any:
        """The result of a query, which runs again only if a file has changed or its result has expired."""
        return self._results.get(key, self._log.mend(), query)
