"""The engine of all queries on one machine, in bounded memory."""

from pathlib import Path

import duckdb

MEMORY = "1GB"  # beyond, queries write to the disk; by itself DuckDB takes most of the machine's


def database(spill: Path) -> duckdb.DuckDBPyConnection:
    """A database in little memory, which is kept open: opening one takes longer than many a query.

    spill: the folder for what does not fit.
    """
    connection = duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(spill)})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET parquet_metadata_cache = true")  # the files never change
    return connection
