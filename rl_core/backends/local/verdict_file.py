"""The verdicts of a local endpoint: a file with one verdict per line."""

import logging
import os
from pathlib import Path

from pydantic import ValidationError

from banditloop.rl_core.policies.release import Verdict

log = logging.getLogger("banditloop.endpoint")


class VerdictFile:
    """Appends and reads verdicts. Every line is read once, however often all verdicts are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._verdicts: list[Verdict] = []
        self._inode, self._read_bytes, self._read_lines = 0, 0, 0

    def append(self, verdict: Verdict) -> None:
        """Append a line, after removing an incomplete one left by a crash. One process at a time may do so."""
        with self._path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if file.read() not in (b"", b"\n"):
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
            file.write(verdict.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Verdict]:
        """All verdicts, oldest first. Those in damaged lines are lost, which is logged."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._read_bytes:
                self._verdicts, self._read_bytes, self._read_lines = [], 0, 0
            self._inode = status.st_ino
            file.seek(self._read_bytes)
            new = file.read()
        lines = new.split(b"\n")[:-1]
        self._read_bytes += sum(len(line) + 1 for line in lines)
        self._verdicts += [verdict for line in lines if (verdict := self._parse(line))]
        return list(self._verdicts)

    def _parse(self, line: bytes) -> Verdict | None:
        self._read_lines += 1
        try:
            return Verdict.model_validate_json(line)
        except ValidationError:
            log.error("%s: line %d is damaged; its verdict is lost", self._path, self._read_lines)
            return None
