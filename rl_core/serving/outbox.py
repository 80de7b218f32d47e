"""The outbox: events stored on disk until they are published, so that answering a request need not wait for the bus.

`Outbox.put` is one write to a file, which survives the process. A separate process publishes the files (see
outbox_publisher.py), those of killed processes included. A file's header is the offset up to which it is published.
Every line begins with its checksum, so that what a failing disk damages is found, set aside and reported.
"""

import contextlib
import errno
import fcntl
import os
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

FILE_BYTES = 16 << 20  # about; large, because creating a file waits for other processes' work on the folder
MESSAGE_BYTES = 256 << 10
HEADER = b"%019d\n"  # bytes of the file that are published, the header included
HEADER_BYTES = len(HEADER % 0)
CHECKSUM = b"%08x "  # of the events of a line: CRC-32
CHECKSUM_BYTES = len(CHECKSUM % 0)


class Outbox:
    """The writing end: stores the events of one topic, for one thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file: int | None = None
        self._path, self._size = folder, 0

    def put(self, events: bytes) -> None:
        """Store a JSON array of events. Once this returns, they will reach the bus even if this process dies.

        Raises:
            OSError: the disk is full; nothing of `events` will be published.
        """
        if events == b"[]":
            return
        content = events[1:-1]  # without brackets, so that joined lines form an array again
        line = b"%b%b\n" % (CHECKSUM % zlib.crc32(content), content)
        if self._size > FILE_BYTES:
            self.close()
        file = self._file = self._file if self._file is not None else self._open()
        if os.write(file, line) < len(line):
            os.ftruncate(file, self._size)
            self.close()
            raise _no_space(self._path)
        self._size += len(line)

    def close(self) -> None:
        """Close the file, which is removed once it is published; later events go to a new file."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    def pending_bytes(self) -> int:
        """Bytes not yet published, those in other processes' files included."""
        pending = 0
        for path in self._folder.glob("*.events"):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                pending += max(0, path.stat().st_size - _published_bytes(file.fileno()))
        return pending

    def _open(self) -> int:
        """A new file. It is locked, which marks it as in use by a living process, before it gets its final name."""
        self._path = self._folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.events"
        temporary = self._path.with_suffix(".new")
        file = os.open(temporary, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.write(file, HEADER % HEADER_BYTES) < HEADER_BYTES:
                raise _no_space(temporary)
            temporary.rename(self._path)
        except OSError:
            os.close(file)
            temporary.unlink(missing_ok=True)
            raise
        self._size = HEADER_BYTES
        return file


def _no_space(path: Path) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def send(
    folder: Path,
    publish: Callable[[bytes], object],
    wait: float = 0.0,
    damaged: Callable[[str, bytes], object] = lambda reason, line: None,
) -> None:
    """Publish the pending events of a folder, oldest first, as JSON arrays of events.

    Lines that the disk has damaged go to `damaged`, with the reason, in place of `publish`. Only one process sends at a
    time. Another one waits up to `wait` seconds for its turn, then returns.

    Raises:
        Exception: raised by `publish` or `damaged`. The events that it did not accept stay pending.
    """
    directory = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + wait
        while not (locked := _try_lock(directory, fcntl.LOCK_EX)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if locked:
            for path in sorted(folder.glob("*.events")):
                with path.open("rb+", buffering=0) as file:
                    # Tested before the size is read: nothing is appended to a closed file after that.
                    closed = _try_lock(file.fileno(), fcntl.LOCK_SH)
                    rest = _publish_file(path, file.fileno(), publish, damaged)
                    if closed and rest:
                        damaged(f"{path.name}: its last line is incomplete", rest)
                if closed:
                    path.unlink()
    finally:
        os.close(directory)


def _publish_file(
    path: Path, file: int, publish: Callable[[bytes], object], damaged: Callable[[str, bytes], object]
) -> bytes:
    """Publish the lines of a file, as far as they are not yet published; returns what follows the last whole line."""
    size, published = os.fstat(file).st_size, _published_bytes(file)
    while published < size and (lines := _read_lines(file, published)):
        contents = []
        for line in lines[:-1].split(b"\n"):
            if (content := _content(line)) is None:
                damaged(f"{path.name}: a line does not match its checksum", line)
            else:
                contents.append(content)
        if contents:
            for message in _messages(b"[" + b",".join(contents) + b"]"):
                publish(message)
        published += len(lines)
        os.pwrite(file, HEADER % published, 0)
    return os.pread(file, size - published, published) if published < size else b""


def _content(line: bytes) -> bytes | None:
    """The events of a line; None if it is damaged. Lines of earlier versions have no checksum, and begin with JSON."""
    content = line[CHECKSUM_BYTES:]
    if line[:CHECKSUM_BYTES] == CHECKSUM % zlib.crc32(content):
        return content
    try:
        return line if orjson.loads(b"[%b]" % line) else None
    except orjson.JSONDecodeError:
        return None


def _try_lock(file: int, operation: int) -> bool:
    """Whether the lock could be taken; it is held until the file is closed."""
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _published_bytes(file: int) -> int:
    """The offset in the header; that of the first event where the header is damaged: it points to no line's end."""
    header = os.pread(file, HEADER_BYTES, 0)
    published = int(header) if header.strip().isdigit() else 0
    is_inside = HEADER_BYTES <= published <= os.fstat(file).st_size
    return published if is_inside and os.pread(file, 1, published - 1) == b"\n" else HEADER_BYTES


def _read_lines(file: int, start: int) -> bytes:
    """Whole lines from offset `start`: up to MESSAGE_BYTES of them, or a single longer line."""
    size, end = MESSAGE_BYTES, 0
    while not end:
        chunk = os.pread(file, size, start)
        end = chunk.rfind(b"\n") + 1
        if len(chunk) < size:
            break
        size *= 2
    return chunk[:end]


def _messages(array: bytes) -> Iterator[bytes]:
    """A JSON array of events, split into several arrays where it is longer than two messages."""
    if len(array) <= 2 * MESSAGE_BYTES:
        yield array
    else:
        events = orjson.loads(array)
        count = min(len(events), len(array) // MESSAGE_BYTES)
        for start in range(count):
            yield orjson.dumps(events[start::count])
