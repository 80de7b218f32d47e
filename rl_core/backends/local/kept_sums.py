"""Sums over the log so far, in a file beside it: written whole, and not read if anything about it is wrong."""

import contextlib
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from banditloop.rl_core.backends.local.event_table import EPOCH
from banditloop.rl_core.backends.local.files import write_atomically
from banditloop.rl_core.backends.local.log_sums import LogSums, VersionSums
from banditloop.rl_core.events.schema import KEYS


class KeptSums(NamedTuple):
    """Sums over the rows of each table that were logged up to a time, and the number of these rows."""

    until: dict[str, datetime]
    rows: dict[str, int]
    sums: LogSums


NOTHING = KeptSums(dict.fromkeys(KEYS, EPOCH), dict.fromkeys(KEYS, 0), LogSums())


class SumsFile:
    """JSON behind its checksum. A lost or damaged file costs a query, nothing else.

    depends_on: what the sums depend on besides the log, as JSON; it gives the file its name.
    """

    def __init__(self, folder: Path, depends_on: Any) -> None:
        self._path = folder / f"{hashlib.sha256(orjson.dumps(depends_on)).hexdigest()[:16]}.sums"

    def read(self) -> KeptSums:
        """The sums; NOTHING if there are none, or the file is damaged."""
        with contextlib.suppress(OSError, ValueError):
            checksum, content = self._path.read_bytes().split(b"\n", 1)
            if checksum.decode() == hashlib.sha256(content).hexdigest():
                return _parse(orjson.loads(content))
        return NOTHING

    def write(self, kept: KeptSums) -> None:
        """Replace the sums."""
        content = {
            "until": kept.until,
            "rows": kept.rows,
            "outcomes": dict(kept.sums.outcomes),
            "versions": {version: list(sums) for version, sums in kept.sums.versions.items()},
        }
        text = orjson.dumps(content)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, f"{hashlib.sha256(text).hexdigest()}\n{text.decode()}")


def _parse(content: dict[str, Any]) -> KeptSums:
    versions = {
        version: VersionSums(datetime.fromisoformat(first), *sums)
        for version, (first, *sums) in content["versions"].items()
    }
    until = {table: datetime.fromisoformat(time) for table, time in content["until"].items()}
    return KeptSums(until, content["rows"], LogSums(versions, content["outcomes"]))
