"""The outbox: events on their way to the bus, kept on disk so that answering a request need not wait for it.

A `put` is one write to a file, which survives the process. Files that are handed over are published by a process of
its own (see publisher.py), as are those that a killed process left behind.
"""

import contextlib
import errno
import fcntl
import os
import time
import uuid
from pathlib import Path

LARGEST_FILE = 256 << 10  # bytes, about: a message holds a file


class Outbox:
    """Keeps the events of one topic, for one thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file: int | None = None
        self._path, self._size = folder, 0

    def put(self, events: bytes) -> None:
        """Keep a JSON array of events. When this returns they will reach the bus, whatever happens to this process."""
        line = events[1:-1] + b"\n"  # so that lines make an array again
        if self._size > LARGEST_FILE:
            self.hand_over()
        file = self._file = self._file if self._file is not None else self._open()
        if os.write(file, line) < len(line):
            os.ftruncate(file, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._size += len(line)

    def hand_over(self) -> None:
        """Let what was put be published; what comes next goes to another file."""
        if self._file is not None:
            self._path.rename(self._path.with_suffix(".full"))
            file, self._file = self._file, None
            os.close(file)

    def waiting(self) -> int:
        """The bytes that are not published yet, those of other processes' files included."""
        sizes = 0
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                sizes += path.stat().st_size
        return sizes

    def _open(self) -> int:
        """A new file that is locked, so as to be known for a living process's, before it has its name."""
        self._path = self._folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.open"
        unnamed = self._path.with_suffix(".new")
        self._size = 0
        file = os.open(unnamed, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            unnamed.rename(self._path)
        except OSError:
            os.close(file)
            unnamed.unlink(missing_ok=True)
            raise
        return file


def handed_over(folder: Path) -> list[Path]:
    """The files to publish, oldest first; those that a process has left which is no more are among them."""
    for path in folder.glob("*.open"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.rename(path.with_suffix(".full"))
    return sorted(folder.glob("*.full"))
