"""The BigQuery warehouse: loads, deduplicates and joins events there, and reads them by the Storage Read API."""

import copy
import logging
import uuid
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient

from banditloop.rl_core.backends import episode_query
from banditloop.rl_core.backends.google import queries
from banditloop.rl_core.backends.google.clients import credentials, reader
from banditloop.rl_core.backends.google.query_rows import query_rows
from banditloop.rl_core.backends.google.read_streams import kept, stream_batches, stream_names
from banditloop.rl_core.backends.google.retry_policy import GOOGLE
from banditloop.rl_core.backends.google.staging import staged
from banditloop.rl_core.backends.google.tables import create_tables
from banditloop.rl_core.backends.google.times import END_OF_TIME, EPOCH, logged_since
from banditloop.rl_core.backends.google.upgrade import upgrade
from banditloop.rl_core.backends.retries import with_retries
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.holdout import Fold, hash_bound
from banditloop.rl_core.events.null_lists import without_null_lists
from banditloop.rl_core.events.schema import KEYS, MAX_LEAD, decision_schema, interaction_schema
from banditloop.rl_core.events.timeline import transitions_of
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import LogCounts
from banditloop.rl_core.ports.warehouse import MAX_SKEW, NO_EPISODES, TRAINED_AHEAD, EpisodeCounts
from banditloop.rl_core.settings.backend import GoogleBackend
from banditloop.rl_core.settings.episodes import EpisodesSection
from banditloop.rl_core.settings.loop import ACTIVATION, RewardSection
from banditloop.rl_core.settings.task import Task

log = logging.getLogger("banditloop.warehouse")


class BigQueryWarehouse:
    """See banditloop.rl_core.ports.Warehouse. Every append costs a load job and a transaction: append large batches."""

    def __init__(
        self,
        backend: GoogleBackend,
        task: Task,
        reward: RewardSection,
        episodes: EpisodesSection | None,
        held_out: float,
        max_wait: timedelta,
    ) -> None:
        """max_wait: how long a window waits for rewards that were received and are not logged yet."""
        self._max_wait, self._attribution = max_wait, timedelta(seconds=reward.attribution_window_seconds)
        self._backend, self._task, self._reward, self._held_out = backend, task, reward, hash_bound(held_out)
        self._ignores, self._episodes = reward.default == "ignore", episodes
        self._default: dict[str, Any] = {} if self._ignores else {"default": reward.default}

    @cached_property
    def _connection(self) -> bigquery.Client:
        return bigquery.Client(self._backend.project, credentials(), location=self._backend.location)

    @cached_property
    def _client(self) -> bigquery.Client:
        """The client, once the tables exist with all columns of the task."""
        create_tables(self._connection, self._backend, self._task)
        return self._connection

    def reading(self, task: Task) -> "BigQueryWarehouse":
        other = copy.copy(self)
        other._task = task
        other.__dict__.pop("_client", None)
        return with_retries(other, GOOGLE)

    def append(self, table: str, events: pa.Table) -> int:
        if not events.num_rows:
            return 0
        times, ids = pc.min_max(events["timestamp"]).as_py(), pc.min_max(events["event_id"]).as_py()
        horizon = max(MAX_SKEW, self._attribution)
        parameters = {
            "events": events.num_rows,
            "earliest": times["min"] - horizon,
            "latest": times["max"] + horizon,
            "logged_since": logged_since(times["min"] - horizon, datetime.now(UTC)),
            "first_id": ids["min"],  # prunes the clusters where ids sort by time
            "last_id": ids["max"],
            "max_lead": MAX_LEAD,
        }
        with staged(self._client, f"{self._backend.project}.{self._backend.dataset}", table, events) as staging:
            query = queries.append(self._backend.dataset, table, events.schema.names, staging)
            [(added,)] = self._query(query, parameters)
        return int(added)

    def window(self, since: datetime | None) -> Window:
        now = datetime.now(UTC)
        if since and since > now + MAX_LEAD:
            log.error(TRAINED_AHEAD, since)
            since = None
        settles_first = self._reward.aggregation == "first" and self._episodes is None
        query = queries.window(self._backend.dataset, self._reward.aggregation, self._ignores, settles_first)
        [(until, interactions)] = self._query(query, self._parameters(since or EPOCH, now + MAX_LEAD / 2))
        return Window(since=since, until=until or since or EPOCH, interactions=interactions)

    def shards(self, window: Window, fold: Fold | None, count: int) -> list[str]:
        table = f"{self._backend.dataset}.shards_{uuid.uuid4().hex}"
        query, parameters = self._of_interactions(window, fold)
        self._query(kept(table, query), parameters)
        return stream_names(self._reader, bigquery.TableReference.from_string(table, self._backend.project), count)

    def interactions(self, window: Window, fold: Fold | None = None, shard: str = "") -> Iterator[pa.RecordBatch]:
        schema = interaction_schema(self._task)
        batches = stream_batches(self._reader, shard) if shard else self._read_interactions(window, fold)
        return (without_null_lists(batch.select(schema.names).cast(schema)) for batch in batches)

    def _read_interactions(self, window: Window, fold: Fold | None) -> Iterator[pa.RecordBatch]:
        return iter(self._query(*self._of_interactions(window, fold)).to_arrow_iterable(self._reader))

    def _of_interactions(self, window: Window, fold: Fold | None) -> tuple[str, dict[str, Any]]:
        columns, ignores = decision_schema(self._task).names, self._ignores
        query = queries.interactions(self._backend.dataset, self._reward.aggregation, columns, fold, ignores)
        parameters = self._default | ({"held_out": self._held_out} if fold else {})
        return query, self._parameters(window.since or EPOCH, window.until) | parameters

    def episode_ids(self, window: Window) -> pa.Array:
        query = queries.episode_ids(self._backend.dataset, self._reward.aggregation, self._ignores)
        rows = self._query(query, self._parameters(window.since or EPOCH, window.until) | self._default)
        return rows.to_arrow(bqstorage_client=self._reader)["episode_id"].combine_chunks()

    def transitions(self, window: Window, fold: Fold | None = None) -> Iterator[pa.RecordBatch]:
        episodes, names = self._in_episodes, self._in_episodes.value_names(self._reward.name)
        columns, aggregation = decision_schema(self._task).names, self._reward.aggregation
        query = queries.transitions(self._backend.dataset, aggregation, columns, len(names), fold)
        parameters = self._episode_parameters(window.since or EPOCH, window.until)
        parameters |= episode_query.name_parameters(names) | ({"held_out": self._held_out} if fold else {})
        batches = self._query(query, parameters).to_arrow_iterable(bqstorage_client=self._reader)
        return transitions_of(batches, self._task, episodes, self._reward)

    def episode_counts(self, until: datetime) -> EpisodeCounts:
        query = queries.episode_counts(self._backend.dataset)
        [counts] = self._query(query, self._episode_parameters(EPOCH, until))
        return EpisodeCounts(*counts)

    def policy_totals(self, versions: Collection[str] | None = None) -> list[dict[str, Any]]:
        query = queries.totals(self._backend.dataset, self._reward.aggregation, self._ignores)
        rows = self._query(query, self._parameters(EPOCH, END_OF_TIME) | self._default)
        return [dict(row) for row in rows if versions is None or row["version"] in versions]

    def event_counts(self) -> LogCounts:
        query = queries.counts(self._backend.dataset)
        used = {"used": episode_query.used_names(self._episodes, self._reward)}
        counts = dict(map(tuple, self._query(query, self._parameters(EPOCH, END_OF_TIME) | used)))
        received = {name: counts.pop(f"received {name}") for name in KEYS}
        duplicate = {name: received[name] - counts.pop(f"rows {name}") for name in KEYS}
        return LogCounts(received, duplicate, inactive=counts.pop("eligible") - counts["shown"], **counts)

    def repair(self) -> int:
        [(repaired,)] = self._query(queries.repair(self._backend.dataset), {"max_lead": MAX_LEAD})
        return int(repaired)

    def upgrade(self) -> int:
        return upgrade(self._connection, self._backend, self._task)

    def _query(self, query: str, parameters: dict[str, Any]) -> bigquery.table.RowIterator:
        return query_rows(self._client, query, parameters)

    @cached_property
    def _reader(self) -> BigQueryReadClient:
        return reader()

    def _parameters(self, since: datetime, until: datetime) -> dict[str, Any]:
        """The parameters of every query on interactions.

        A first query for the earliest decision gives the bound that prunes the partitions of the rewards.
        """
        earliest = since
        if since > EPOCH:
            [(earliest,)] = self._query(queries.earliest(self._backend.dataset), {"since": since, "until": until})
        return {
            "since": since,
            "until": until,
            "logged_since": logged_since(earliest or since, since),
            "name": self._reward.name,
            "activation": ACTIVATION,
            "window": self._attribution,
            "max_skew": MAX_SKEW,
            "max_wait": self._max_wait,
        }

    def _episode_parameters(self, since: datetime, until: datetime) -> dict[str, Any]:
        """The parameters of every query on episodes, which reads all decisions up to the window's end."""
        parameters = self._parameters(EPOCH, until) | {"complete_since": since}
        return parameters | episode_query.parameters(self._in_episodes)

    @property
    def _in_episodes(self) -> EpisodesSection:
        if self._episodes is None:
            raise InvalidInput(NO_EPISODES)
        return self._episodes
