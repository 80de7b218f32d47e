"""A connection to some files of the log, with the views that the warehouse's queries read."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import duckdb
import pyarrow as pa

from banditloop.rl_core.backends.local.database import use_all_cores
from banditloop.rl_core.backends.local.queries import IS_IN_TIME
from banditloop.rl_core.backends.local.query_errors import explained
from banditloop.rl_core.backends.local.table_snapshot import DataFile
from banditloop.rl_core.backends.local.views import create_view
from banditloop.rl_core.settings.loop import ACTIVATION

DEFERRED = "deferred"  # alphabetically the first mode


class LogView(NamedTuple):
    """A view of data files, with the fields of a schema."""

    name: str
    files: list[DataFile]
    schema: pa.Schema


@contextlib.contextmanager
def query_connection(opened: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of a database, with temporary views and tables of its own; its queries can be interrupted."""
    with explained(), opened.cursor() as connection:
        connection.execute("SET enable_progress_bar = false")
        yield connection


@contextlib.contextmanager
def log_connection(
    opened: duckdb.DuckDBPyConnection, decisions: LogView, rewards: LogView, durations: dict[str, int]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with views of some files of decisions, and of the rewards that may belong to them."""
    with query_connection(opened) as connection:
        use_all_cores(connection)
        create_view(connection, *decisions)
        create_view(connection, *rewards)
        create_outcome_views(connection, durations, any(file.first_mode == DEFERRED for file in decisions.files))
        yield connection


def create_outcome_views(connection: duckdb.DuckDBPyConnection, durations: dict[str, int], deferred: bool) -> None:
    """Create the views that divide `logged_decisions`, given `rewards`, in place of earlier ones.

    They are `shadows`; `eligible`, the others; and `decisions`, the eligible ones that are interactions (deferred ones
    only once activated).

    deferred: whether there may be deferred ones.
    """
    connection.execute("CREATE OR REPLACE TEMP VIEW shadows AS FROM logged_decisions WHERE mode = 'shadow'")
    connection.execute("CREATE OR REPLACE TEMP VIEW eligible AS FROM logged_decisions WHERE mode <> 'shadow'")
    is_interaction = "true"
    if deferred:
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE activated AS
            SELECT d.number FROM rewards r JOIN eligible d ON r.event_id = d.event_id
            WHERE r.name = $name AND {IS_IN_TIME}""",
            durations | {"name": ACTIVATION},
        )
        is_interaction = "mode <> 'deferred' OR number IN (FROM activated)"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW decisions AS FROM eligible WHERE {is_interaction}")
