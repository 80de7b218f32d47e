"""Sums over the log so far, in a file beside it: written atomically, and ignored if it is damaged."""

import contextlib
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from banditloop.rl_core.backends.local.event_table import EPOCH
from banditloop.rl_core.backends.local.files import remove_unfinished, write_atomically
from banditloop.rl_core.backends.local.log_sums import VERSION_SUMS, LogSums
from banditloop.rl_core.events.schema import KEYS


class KeptSums(NamedTuple):
    """Sums over the rows of each table that were logged up to a time, and the number of these rows."""

    until: dict[str, datetime]
    rows: dict[str, int]
    sums: LogSums


OTHERS = b"others"  # key of the stream's metadata: what is kept besides the sums per version, as JSON
NOTHING = KeptSums(dict.fromkeys(KEYS, EPOCH), dict.fromkeys(KEYS, 0), LogSums())


class SumsFile:
    """Columns in Arrow's stream format behind their checksum. A lost or damaged file costs a query, nothing else.

    depends_on: what the sums depend on besides the log, as JSON; it gives the file its name.
    """

    def __init__(self, folder: Path, depends_on: Any) -> None:
        self._path = folder / f"{hashlib.sha256(orjson.dumps(depends_on)).hexdigest()[:16]}.sums"

    def read(self) -> KeptSums:
        """The sums; NOTHING if there are none, or the file is damaged."""
        with contextlib.suppress(OSError, ValueError):
            checksum, content = self._path.read_bytes().split(b"\n", 1)
            if checksum.decode() == hashlib.sha256(content).hexdigest():
                return _parse(pa.ipc.open_stream(content).read_all())
        return NOTHING

    def write(self, kept: KeptSums) -> None:
        """Replace the sums."""
        others = {"until": kept.until, "rows": kept.rows, "outcomes": dict(kept.sums.outcomes)}
        table, stream = (
            kept.sums.versions.replace_schema_metadata({OTHERS: orjson.dumps(others)}),
            pa.BufferOutputStream(),
        )
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
        content = stream.getvalue().to_pybytes()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished(self._path.parent)
        write_atomically(self._path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def _parse(table: pa.Table) -> KeptSums:
    others = orjson.loads(table.schema.metadata[OTHERS])
    until = {name: datetime.fromisoformat(time) for name, time in others["until"].items()}
    return KeptSums(until, others["rows"], LogSums(table.cast(VERSION_SUMS), others["outcomes"]))
