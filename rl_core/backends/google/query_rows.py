"""BigQuery queries with parameters. Transactions that conflict are retried."""

import logging
from datetime import datetime, timedelta
from typing import Any

from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from banditloop.rl_core.backends.retries import retry_while

RETRY_SECONDS = 300.0  # how long a transaction that conflicts with others is retried
CONFLICTS = ("concurrent update", "Failed to commit")  # error texts of BigQuery and of its emulator
TYPES = {str: "STRING", int: "INT64", float: "FLOAT64", datetime: "TIMESTAMP"}
log = logging.getLogger("banditloop.warehouse")


def _is_conflict(error: BaseException) -> bool:
    """Whether a concurrent transaction made this one fail."""
    return isinstance(error, BadRequest) and any(text in str(error) for text in CONFLICTS)


@retry_while(_is_conflict, RETRY_SECONDS, max_pause=5.0)
def query_rows(client: bigquery.Client, query: str, parameters: dict[str, Any]) -> bigquery.table.RowIterator:
    """The result rows of a query. A transaction that conflicts with another one is retried."""
    config = bigquery.QueryJobConfig(query_parameters=[_parameter(*item) for item in parameters.items()])
    job = client.query(query, job_config=config)
    rows = job.result()
    log.info("BigQuery query finished", extra={"bytes_scanned": job.total_bytes_processed, "job": job.job_id})
    return rows


def _parameter(name: str, value: Any) -> bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter:
    """A query parameter. A list must be of texts; a duration becomes its number of microseconds."""
    if isinstance(value, list):
        return bigquery.ArrayQueryParameter(name, "STRING", value)
    if isinstance(value, timedelta):
        value = value // timedelta(microseconds=1)
    return bigquery.ScalarQueryParameter(name, TYPES[type(value)], value)
