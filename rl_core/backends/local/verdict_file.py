"""The verdicts of a local endpoint: a file with one verdict per line."""

import logging
import os
import re
from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError

from banditloop.rl_core.policies.release import Verdict

LINE = re.compile(rb'(?:\{"at":"[^"\n]*","version":"([^"\\\n]*)",)?[^\n]*\n')  # as it is written, or any other
log = logging.getLogger("banditloop.endpoint")


class VerdictFile:
    """Appends and reads verdicts. Every line is read once, and parsed once its verdict is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._versions: list[bytes] = []  # by line, b"" where it begins otherwise
        self._verdicts: list[bytes | Verdict | None] = []  # by line: its text until it is parsed; None if damaged
        self._inode, self._read_bytes = 0, 0

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

    def read(self, versions: Collection[str] | None = None) -> list[Verdict]:
        """All verdicts, or those on these versions, oldest first. Those in damaged lines are lost, which is logged."""
        self._read_lines()
        wanted = None if versions is None else {b"", *(version.encode() for version in versions)}
        lines = (line for line, version in enumerate(self._versions) if wanted is None or version in wanted)
        verdicts = (verdict for line in lines if (verdict := self._verdict(line)))
        return [verdict for verdict in verdicts if versions is None or verdict.version in versions]

    def _read_lines(self) -> None:
        """Read what was appended since the last time; everything if this is another file."""
        if not self._path.exists():
            self._versions, self._verdicts, self._read_bytes = [], [], 0
            return
        with self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._read_bytes:
                self._versions, self._verdicts, self._read_bytes = [], [], 0
            self._inode = status.st_ino
            file.seek(self._read_bytes)
            new = file.read()
        lines = new[: new.rfind(b"\n") + 1]
        self._read_bytes += len(lines)
        self._versions += LINE.findall(lines)
        self._verdicts += lines.split(b"\n")[:-1]

    def _verdict(self, line: int) -> Verdict | None:
        text = self._verdicts[line]
        if isinstance(text, bytes):
            try:
                self._verdicts[line] = Verdict.model_validate_json(text)
            except ValidationError:
                self._verdicts[line] = None
                log.error("%s: line %d is damaged; its verdict is lost", self._path, line + 1)
        return self._verdicts[line]  # type: ignore[return-value]  # parsed
