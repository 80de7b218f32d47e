"""The warnings in the log file of a service, as they are written."""

import json
from collections.abc import Iterator
from pathlib import Path

from banditloop.pipelines.cli.events import Event, What

SEVERITIES = {"WARNING", "ERROR", "CRITICAL"}
MOST = 5  # warnings told per look; the file has them all


class LogTail:
    """Reads what was added to a log file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, path.stat().st_size if path.exists() else 0

    def events(self) -> Iterator[Event]:
        """The warnings and errors since the last look, at most MOST of them."""
        warnings = [line for line in self._lines() if line.get("severity") in SEVERITIES]
        for line in warnings[:MOST]:
            kind: What = "repaired" if line.get("event") == "repaired" else "warning"
            yield Event(kind, f"{self._path.stem}: {line.get('message', '')}")
        if len(warnings) > MOST:
            yield Event("warning", f"{self._path.stem}: and {len(warnings) - MOST:,} more, in {self._path}")

    def _lines(self) -> Iterator[dict[str, object]]:
        """The new whole lines that are JSON objects."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            if self._path.stat().st_size < self._read:  # it was rotated
                self._read = 0
            file.seek(self._read)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                content = json.loads(line)
            except ValueError:
                continue
            if isinstance(content, dict):
                yield content
