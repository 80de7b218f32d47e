"""The warehouse as BigQuery tables: loaded, deduplicated and joined there, read through the Storage Read API."""

import io
import logging
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from tenacity import (
    retry,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from rl_core.backend import GoogleBackend
from rl_core.backends import LogCounts
from rl_core.backends.google import queries
from rl_core.backends.google.clients import credentials, reader
from rl_core.backends.google.tables import column, create_tables
from rl_core.config import RewardSection
from rl_core.manifest import Window
from rl_core.schema import ACTIVATION, INTERACTION, SCHEMAS
from rl_core.split import Part, bound

EPOCH, FOR_EVER = datetime.fromtimestamp(0, UTC), datetime(9999, 1, 1, tzinfo=UTC)
AT_MOST_APART = timedelta(days=1)  # an event and its double
ARRIVALS_KEPT = timedelta(hours=6)  # where a process died before it could remove them
PATIENCE_SECONDS = 300.0
CONFLICTS = ("concurrent update", "Failed to commit")  # BigQuery's words, and those of its emulator
MICROSECOND = timedelta(microseconds=1)
TYPES = {str: "STRING", int: "INT64", float: "FLOAT64", datetime: "TIMESTAMP"}
log = logging.getLogger("banditloop.warehouse")


def _lost_a_race(error: BaseException) -> bool:
    return isinstance(error, BadRequest) and any(words in str(error) for words in CONFLICTS)


until_it_is_first = retry(
    retry=retry_if_exception(_lost_a_race),
    wait=wait_random_exponential(multiplier=0.2, max=5),
    stop=stop_after_delay(PATIENCE_SECONDS),
    reraise=True,
)
uploaded_again = retry(  # an upload whose last answer was lost is not known any more
    retry=retry_if_exception_type(NotFound), stop=stop_after_attempt(4), reraise=True
)


class BigQueryWarehouse:
    """See rl_core.backends.Warehouse. An append is a load job and a transaction: cheap by the event only in batches."""

    def __init__(self, backend: GoogleBackend, reward: RewardSection, held_out: float) -> None:
        self._backend, self._reward, self._held_out = backend, reward, bound(held_out)

    @cached_property
    def _client(self) -> bigquery.Client:
        client = bigquery.Client(self._backend.project, credentials(), location=self._backend.location)
        create_tables(client, self._backend)
        return client

    def append(self, table: str, events: pa.Table) -> int:
        if not events.num_rows:
            return 0
        times = pc.min_max(events["timestamp"]).as_py()
        parameters = {
            "events": events.num_rows,
            "earliest": times["min"] - AT_MOST_APART,
            "latest": times["max"] + AT_MOST_APART,
            "logged_since": _before(times["min"], datetime.now(UTC)),
        }
        arrivals = self._load(table, events)
        [(added,)] = self._ask(queries.append(self._backend.dataset, table, arrivals), parameters)
        self._client.delete_table(self._place(arrivals), not_found_ok=True)
        return added

    def window(self, since: datetime | None) -> Window:
        query = queries.window(self._backend.dataset, self._reward.aggregation)
        [(until, many)] = self._ask(query, self._parameters(since or EPOCH, FOR_EVER))
        return Window(since=since, until=until or since or EPOCH, interactions=many)

    def interactions(self, window: Window, part: Part | None = None) -> Iterator[pa.RecordBatch]:
        query = queries.interactions(self._backend.dataset, self._reward.aggregation, part)
        parameters: dict[str, Any] = {"default": self._reward.default} | ({"held_out": self._held_out} if part else {})
        rows = self._ask(query, self._parameters(window.since or EPOCH, window.until) | parameters)
        for batch in rows.to_arrow_iterable(bqstorage_client=self._reader):
            yield batch.select(INTERACTION.names).cast(INTERACTION)

    def totals(self) -> list[dict[str, Any]]:
        query = queries.totals(self._backend.dataset, self._reward.aggregation)
        rows = self._ask(query, self._parameters(EPOCH, FOR_EVER) | {"default": self._reward.default})
        return [dict(row) for row in rows]

    def counts(self) -> LogCounts:
        query = queries.counts(self._backend.dataset)
        rows = {row["name"]: row for row in self._ask(query, {"window": self._length(self._window)})}
        received = {name: rows[name]["received"] for name in SCHEMAS}
        duplicate = {name: received[name] - rows[name]["kept"] for name in SCHEMAS}
        return LogCounts(received, duplicate, rows["rewards"]["late"], rows["rewards"]["dangling"])

    def _load(self, table: str, events: pa.Table) -> str:
        """Put events into a table of their own and return its name."""
        arrivals = bigquery.Table(
            self._place(f"{table}_{uuid.uuid4().hex}"), [column(field) for field in SCHEMAS[table]]
        )
        arrivals.expires = datetime.now(UTC) + ARRIVALS_KEPT
        self._client.create_table(arrivals, exists_ok=True)  # where the first answer was lost
        self._upload(events, arrivals)
        return arrivals.table_id

    @uploaded_again
    def _upload(self, events: pa.Table, table: bigquery.Table) -> None:
        file, lists = io.BytesIO(), bigquery.format_options.ParquetOptions()
        pq.write_table(events, file)
        file.seek(0)
        lists.enable_list_inference = True
        settings = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_TRUNCATE")
        settings.parquet_options = lists
        self._client.load_table_from_file(file, table, job_config=settings).result()

    @until_it_is_first
    def _ask(self, query: str, parameters: dict[str, Any]) -> bigquery.table.RowIterator:
        """The rows of an answer. A transaction that another one came before is begun again."""
        settings = bigquery.QueryJobConfig(
            query_parameters=[bigquery.ScalarQueryParameter(k, TYPES[type(v)], v) for k, v in parameters.items()]
        )
        job = self._client.query(query, job_config=settings)
        rows = job.result()
        log.info("asked BigQuery", extra={"bytes_scanned": job.total_bytes_processed, "job": job.job_id})
        return rows

    @cached_property
    def _reader(self) -> BigQueryReadClient:
        return reader()

    def _parameters(self, since: datetime, until: datetime) -> dict[str, Any]:
        """What every question about interactions is asked with.

        A first look at the decisions tells which partitions of the rewards need not be read.
        """
        earliest = since
        if since > EPOCH:
            look = {"since": since, "until": until}
            [(earliest,)] = self._ask(queries.earliest(self._backend.dataset), look)
        return {
            "since": since,
            "until": until,
            "logged_since": _before(earliest or since, since),
            "name": self._reward.name,
            "activation": ACTIVATION,
            "window": self._length(self._window),
            "apart": self._length(AT_MOST_APART),
        }

    @property
    def _window(self) -> timedelta:
        return timedelta(seconds=self._reward.window_seconds)

    def _length(self, time: timedelta) -> int:
        return time // MICROSECOND

    def _place(self, table: str) -> str:
        return f"{self._backend.project}.{self._backend.dataset}.{table}"


def _before(*times: datetime) -> datetime:
    """Before anything was logged that may belong to events of these times, unless a clock was a day ahead."""
    return max(EPOCH + AT_MOST_APART, min(times)) - AT_MOST_APART
