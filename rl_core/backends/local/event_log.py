"""The two tables of the local log, checked for damage, and connections that query them by the section `reward`."""

import contextlib
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from banditloop.rl_core.backends import episode_query
from banditloop.rl_core.backends.local import queries
from banditloop.rl_core.backends.local.database import database
from banditloop.rl_core.backends.local.event_table import EPOCH, EventTable
from banditloop.rl_core.backends.local.key_hashes import KeyHashes
from banditloop.rl_core.backends.local.log_connection import LogView, log_connection
from banditloop.rl_core.backends.local.table_damage import DamageCheck
from banditloop.rl_core.backends.local.table_files import Files
from banditloop.rl_core.backends.local.table_snapshot import NO_TABLE, DataFile, Snapshot
from banditloop.rl_core.backends.local.upgrade import is_upgraded
from banditloop.rl_core.backends.local.views import create_view
from banditloop.rl_core.backends.older_schema import NOT_UPGRADED
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import KEYS, STORED_TABLES
from banditloop.rl_core.ports.warehouse import MAX_SKEW, NO_EPISODES
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.loop import RewardSection
from banditloop.rl_core.settings.task import Task

MICROSECOND = timedelta(microseconds=1)
MILLISECOND = timedelta(milliseconds=1)  # the resolution of the times in a table's statistics
END_OF_TIME = datetime.max.replace(tzinfo=UTC)
COLUMNS = {  # that tell which decisions are interactions, and what rewards they have
    "decisions": ("event_id", "timestamp", "policy_version", "mode", "logging_probability", "logged_at"),
    "rewards": ("event_id", "name", "value", "timestamp", "source_id", "received_at", "logged_at"),
}
MAX_WAIT = timedelta(days=1)  # of a window, for rewards that were received and are not logged yet


class EventLog:
    """The tables `decisions` and `rewards` under one folder, read with the features of a task."""

    def __init__(self, root: Path, task: Task, reward: RewardSection, episodes: EpisodesSection | None) -> None:
        self.root, self.task, self.reward, self.episodes = root, task, reward, episodes

    def reading(self, task: Task) -> "EventLog":
        """The same log, read with the features of another task."""
        return EventLog(self.root, task, self.reward, self.episodes)

    @cached_property
    def database(self) -> duckdb.DuckDBPyConnection:
        """The database of the log's queries, which holds nothing itself."""
        return database(self.root / "spill", on_one_core=True)

    @property
    def tables(self) -> dict[str, EventTable]:
        """The tables, after mending what the disk has damaged. PlatformError: it cannot be mended."""
        self.mend()
        return self._opened

    def mend(self) -> list[Files]:
        """Mend what the disk has damaged; returns the identities of the files. PlatformError: it cannot be mended."""
        return [check.mend() for check in self._checks.values()]

    def wait(self) -> None:
        """Wait until the appends of rewards in progress, if any, have committed."""
        self._opened["rewards"].wait()

    def repair(self) -> int:
        """Set data files aside that are damaged inside; restamp rows from the future, and return their number."""
        for check in self._checks.values():
            check.set_unreadable_aside()
        return sum(table.repair() for table in self._opened.values())

    def snapshots(self) -> dict[str, Snapshot]:
        """The current snapshots of the tables."""
        for name, check in self._checks.items():
            files, (known, _) = check.mend(), self._snapshots[name]
            if files != known:
                self._snapshots[name] = files, self._opened[name].snapshot(known.items() <= files.items())
        return {name: snapshot for name, (_, snapshot) in self._snapshots.items()}

    @cached_property
    def _snapshots(self) -> dict[str, tuple[Files, Snapshot]]:
        """The latest snapshots of the tables, each with the identities of the files at that time."""
        return {name: ({}, NO_TABLE) for name in self._opened}

    @cached_property
    def _checks(self) -> dict[str, DamageCheck]:
        return {name: DamageCheck(table) for name, table in self._opened.items()}

    @cached_property
    def _opened(self) -> dict[str, EventTable]:
        """The tables, once they are known to have this schema version."""
        if not is_upgraded(self.root):
            raise InvalidInput(NOT_UPGRADED)
        return {table: EventTable(self.root, table, self.task, max(MAX_SKEW, self.attribution)) for table in KEYS}

    def connection(self, decisions: list[DataFile]) -> contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection to some files of decisions, and to those of the rewards that may belong to them."""
        earliest = min((file.earliest for file in decisions), default=END_OF_TIME) - MAX_SKEW
        latest = max((file.latest for file in decisions), default=EPOCH) + self.attribution + MILLISECOND
        rewards = self.snapshots()["rewards"].dated(earliest, latest)
        views = (
            LogView("logged_decisions", decisions, self._opened["decisions"].schema),
            LogView("rewards", rewards, self._opened["rewards"].schema),
        )
        return log_connection(self.database, *views, self.durations)

    def create_view(self, connection: duckdb.DuckDBPyConnection, name: str, table: str, files: list[DataFile]) -> None:
        """Create a view of some files of a table, with the columns COLUMNS."""
        schema = self._opened[table].schema
        create_view(connection, name, files, pa.schema([schema.field(column) for column in COLUMNS[table]]))

    @cached_property
    def event_ids(self) -> dict[str, KeyHashes]:
        """The hashes of the event ids in the files of each table. Appends share the files of those of decisions."""
        folders = {"decisions": STORED_TABLES["decisions"], "rewards": f"{STORED_TABLES['rewards']}_by_event"}
        return {table: KeyHashes(["event_id"], self.root / "keys" / folders[table], 1) for table in KEYS}

    def files_with(
        self, connection: duckdb.DuckDBPyConnection, table: str, files: list[DataFile], event_ids: np.ndarray
    ) -> list[DataFile]:
        """Those of the files that may hold an event whose id has one of these hashes, which are sorted."""
        rows = {file.path: file.rows for file in files}
        matching = {*self.event_ids[table].files_with(connection, rows, event_ids)}
        return [file for file in files if file.path in matching]

    @property
    def used_names(self) -> list[str]:
        """The names of the rewards that are read."""
        return episode_query.used_names(self.episodes, self.reward)

    @property
    def in_episodes(self) -> EpisodesSection:
        """The section `episodes`. InvalidInput: there is none."""
        if self.episodes is None:
            raise InvalidInput(NO_EPISODES)
        return self.episodes

    @property
    def settles_first(self) -> bool:
        """Whether the first reward settles an interaction: not in episodes, which other rewards may still end."""
        return self.reward.aggregation == "first" and self.episodes is None

    @property
    def ignores(self) -> bool:
        """Whether decisions without a reward are no interactions."""
        return self.reward.default == "ignore"

    @property
    def value(self) -> str:
        """SQL of the reward of an interaction; null where a decision without one is ignored."""
        return "reward" if self.ignores else "coalesce(reward, $default)"

    @property
    def default(self) -> dict[str, Any]:
        """The parameter of `value`."""
        return {} if self.ignores else {"default": self.reward.default}

    @property
    def rewarded(self) -> str:
        """SQL of the aggregated rewards, by the parameters of `reward_parameters`."""
        return queries.rewarded(self.reward.aggregation)

    def reward_parameters(self, decided_since: datetime = EPOCH) -> dict[str, Any]:
        """The parameters of `rewarded` for decisions that were logged after a time."""
        return {"name": self.reward.name, "decided_since": decided_since} | self.durations

    @property
    def durations(self) -> dict[str, int]:
        """The parameters of `queries.IS_IN_TIME`, in microseconds."""
        durations = {"window": self.attribution, "max_skew": MAX_SKEW, "max_wait": MAX_WAIT}
        return {name: duration // MICROSECOND for name, duration in durations.items()}

    @property
    def attribution(self) -> timedelta:
        """The attribution window."""
        return timedelta(seconds=self.reward.attribution_window_seconds)
