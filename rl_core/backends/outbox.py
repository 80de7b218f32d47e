"""The outbox: events on their way to the bus, kept on disk so that answering a request need not wait for it.

A `put` is one write to a file, which survives the process. From there a process of its own sends them on (see
publisher.py), and what a killed process left behind too. A file begins with how many of its bytes the bus has.
"""

import contextlib
import errno
import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

FILE_BYTES = 16 << 20  # about: seldom a new one, for another process's work on the folder holds up who makes it
MESSAGE_BYTES = 256 << 10
SENT = b"%019d\n"
HEAD = len(SENT % 0)


class Outbox:
    """Keeps the events of one topic, for one thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file: int | None = None
        self._path, self._size = folder, 0

    def put(self, events: bytes) -> None:
        """Keep a JSON array of events. When this returns they will reach the bus, whatever happens to this process."""
        if events == b"[]":
            return
        line = events[1:-1] + b"\n"  # so that lines make an array again
        if self._size > FILE_BYTES:
            self.close()
        file = self._file = self._file if self._file is not None else self._open()
        if os.write(file, line) < len(line):
            self.close()  # a line without its end, at the end of a file, counts for nothing
            raise _full(self._path)
        self._size += len(line)

    def close(self) -> None:
        """Let go of the file, which can then be removed once the bus has it; what comes next goes to another one."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    def waiting(self) -> int:
        """The bytes that are not published yet, those of other processes' files included."""
        many = 0
        for path in self._folder.glob("*.events"):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                many += max(0, path.stat().st_size - _sent(file.fileno()))
        return many

    def _open(self) -> int:
        """A new file that is locked, so as to be known for a living process's, before it has its name."""
        self._path = self._folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.events"
        unnamed = self._path.with_suffix(".new")
        file = os.open(unnamed, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.write(file, SENT % HEAD) < HEAD:
                raise _full(unnamed)
            unnamed.rename(self._path)
        except OSError:
            os.close(file)
            unnamed.unlink(missing_ok=True)
            raise
        self._size = HEAD
        return file


def _full(path: Path) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def send(folder: Path, publish: Callable[[bytes], object], wait: float = 0.0) -> None:
    """Publish what waits in a folder, oldest first, as JSON arrays of events.

    Where another process does that, this one does nothing, or the rest, if that process ends within `wait` seconds.

    Raises:
        Exception: that of `publish`. What it did not take waits on.
    """
    opened = os.open(folder, os.O_RDONLY)
    try:
        until = time.monotonic() + wait
        while not (alone := _locked(opened, fcntl.LOCK_EX)) and time.monotonic() < until:
            time.sleep(0.1)
        if alone:
            for path in sorted(folder.glob("*.events")):
                with path.open("rb+", buffering=0) as file:
                    # Looked at before its size is, so that nothing comes after that.
                    left = _locked(file.fileno(), fcntl.LOCK_SH)
                    _send(file.fileno(), path.stat().st_size, publish)
                if left:
                    path.unlink()
    finally:
        os.close(opened)


def _send(file: int, size: int, publish: Callable[[bytes], object]) -> None:
    sent = _sent(file)
    while sent < size and (lines := _lines(file, sent)):
        for message in _messages(b"[" + lines[:-1].replace(b"\n", b",") + b"]"):
            publish(message)
        sent += len(lines)
        os.pwrite(file, SENT % sent, 0)


def _locked(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sent(file: int) -> int:
    """How many bytes the bus has. A head that was not written out before the machine went down tells of none."""
    head = os.pread(file, HEAD, 0)
    return int(head) if head.strip().isdigit() else HEAD


def _lines(file: int, start: int) -> bytes:
    """The whole lines from a place on, as many as a message may hold or, where it may not hold one, that one."""
    size, end = MESSAGE_BYTES, 0
    while not end:
        part = os.pread(file, size, start)
        end = part.rfind(b"\n") + 1
        if len(part) < size:
            break
        size *= 2
    return part[:end]


def _messages(events: bytes) -> Iterator[bytes]:
    """A JSON array of events or, where it is much too long for a message, parts of it."""
    if len(events) <= 2 * MESSAGE_BYTES:
        yield events
    else:
        each = orjson.loads(events)
        many = min(len(each), len(events) // MESSAGE_BYTES)
        for part in range(many):
            yield orjson.dumps(each[part::many])
