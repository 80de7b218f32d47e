"""The engine of all queries on one machine, in bounded memory."""

from pathlib import Path

import duckdb

MEMORY = "1GB"  # beyond it, queries spill to disk; DuckDB's default is most of the machine's


def database(spill: Path, on_one_core: bool = False) -> duckdb.DuckDBPyConnection:
    """A database in little memory, which is kept open: opening one takes longer than many a query.

    spill: the folder for what does not fit; on_one_core: run on one core, where small queries cost less, until
    `use_all_cores`.
    """
    config = {"memory_limit": MEMORY, "temp_directory": str(spill)} | ({"threads": 1} if on_one_core else {})
    connection = duckdb.connect(config=config)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET parquet_metadata_cache = true")  # the files never change
    return connection


def use_all_cores(connection: duckdb.DuckDBPyConnection) -> None:
    """Run the queries of a database on all cores from now on."""
    connection.execute("RESET threads")
