"""What a Delta Lake table of events holds at one of its versions: data files, and the number of events received."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import orjson
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable

RECEIVED_KEY = "received"


class DataFile(NamedTuple):
    """An immutable Parquet file of the table, with what the Delta log says about its rows."""

    path: str
    rows: int
    earliest: datetime  # smallest timestamp
    latest: datetime
    first_logged: datetime  # smallest logged_at
    last_logged: datetime
    first_mode: str | None  # alphabetically smallest mode; None in rewards
    last_mode: str | None  # alphabetically largest mode


class Snapshot(NamedTuple):
    """The files of a table and the number of events it has received, duplicates included."""

    files: list[DataFile]
    received: int

    @property
    def rows(self) -> int:
        """Number of events in the table."""
        return sum(file.rows for file in self.files)

    def logged(self, since: datetime, until: datetime) -> list[DataFile]:
        """The files that may hold rows logged between two times, inclusive."""
        return [file for file in self.files if file.first_logged <= until and file.last_logged >= since]

    def dated(self, earliest: datetime, latest: datetime) -> list[DataFile]:
        """The files that may hold events with timestamps between two times, inclusive."""
        return [file for file in self.files if file.earliest <= latest and file.latest >= earliest]


NO_TABLE = Snapshot([], 0)


def snapshot(delta: DeltaTable) -> Snapshot:
    """What a table holds, by the statistics in the Delta log."""
    root = _folder(delta)
    files = [
        DataFile(
            str(root / unquote(action["path"])),
            action["num_records"],
            action["min.timestamp"],
            action["max.timestamp"],
            action["min.logged_at"],
            action["max.logged_at"],
            action.get("min.mode"),
            action.get("max.mode"),
        )
        for action in file_actions(delta).to_pylist()
    ]
    return Snapshot(files, received(delta))


def received(delta: DeltaTable) -> int:
    """Number of events received, from the metadata of the last commit; without it (in older tables), the rows.

    Read from the commit file, since `history` finds nothing if the path has characters that are escaped in URLs.
    """
    commit = _folder(delta) / "_delta_log" / f"{delta.version():020d}.json"
    actions = map(orjson.loads, commit.read_bytes().splitlines())
    metadata: dict[str, str] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    if RECEIVED_KEY in metadata:
        return int(metadata[RECEIVED_KEY])
    return sum(file_actions(delta)["num_records"].to_pylist())


def received_commit(count: int) -> CommitProperties:
    """The properties of a commit after which `count` events have been received."""
    return CommitProperties(custom_metadata={RECEIVED_KEY: str(count)})


def file_actions(delta: DeltaTable) -> pa.Table:
    """The data files of a table with their statistics, one a row."""
    return pa.table(delta.get_add_actions(flatten=True))


def _folder(delta: DeltaTable) -> Path:
    return Path(unquote(urlsplit(delta.table_uri).path))
