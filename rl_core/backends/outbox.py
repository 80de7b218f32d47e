"""The outbox: messages on their way to the bus, kept on disk so that answering a request need not wait for it.

A `put` is one write to a file, which survives the process; a thread publishes file after file and deletes each when
the bus has it. What a killed process left behind is published by the next one. The bus sees messages at least once.
"""

import contextlib
import errno
import fcntl
import logging
import os
import sys
import threading
import time
import uuid
from pathlib import Path

from rl_core.backends import Bus

PAUSE_SECONDS = 0.1  # in which decisions come together: at 0.02 publishing takes a fifth of the endpoint's rate
RETRY_SECONDS = 1.0
LARGEST_MESSAGE = 256 << 10  # bytes, about: a thread that copies more at a time holds the interpreter from others
log = logging.getLogger("banditloop.outbox")


class Outbox:
    """Publishes JSON arrays of events to one topic. One event is one line of bytes without newlines."""

    def __init__(self, folder: Path, bus: Bus, topic: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._bus, self._topic = folder, bus, topic
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._file: int | None = None
        self._path, self._size = folder, 0
        self._thread = threading.Thread(target=self._publish_for_ever, daemon=True)
        self._thread.start()

    def put(self, events: list[bytes]) -> None:
        """Keep events. When this returns they will reach the bus, whatever happens to this process."""
        if not events:
            return
        lines = b"\n".join(events) + b"\n"
        with self._lock:
            if self._size > LARGEST_MESSAGE:
                self._seal()
            file = self._file = self._file if self._file is not None else self._open()
            if os.write(file, lines) < len(lines):
                os.ftruncate(file, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            self._size += len(lines)

    def waiting(self) -> int:
        """The bytes that are not published yet, those of other processes' files included."""
        sizes = 0
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                sizes += path.stat().st_size
        return sizes

    def close(self) -> None:
        """Publish what is left and stop."""
        self._stopping.set()
        self._thread.join()

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

    def _adopt(self) -> None:
        """Take over the files of processes that are no more."""
        for path in self._folder.glob("*.open"):
            with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.rename(path.with_suffix(".full"))

    def _publish_for_ever(self) -> None:
        if sys.platform == "linux":  # where a thread has a priority of its own: answering comes first
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while not self._stopping.wait(PAUSE_SECONDS):
            self._publish_or_wait()
        self._publish_or_wait()

    def _publish_or_wait(self) -> None:
        try:
            self._adopt()
            with self._lock:
                self._seal()
            for path in sorted(self._folder.glob("*.full")):
                self._publish(path)
        except Exception as error:  # whatever it is, the files stay and the next round tries again
            log.warning("%s: not published, will try again: %r", self._topic, error)
            self._stopping.wait(RETRY_SECONDS)

    def _seal(self) -> None:
        if self._file is not None:
            self._path.rename(self._path.with_suffix(".full"))
            file, self._file = self._file, None
            os.close(file)

    def _publish(self, path: Path) -> None:
        whole = path.read_bytes().rpartition(b"\n")[0]  # a line without its end was never answered for
        if whole:
            self._bus.publish(self._topic, b"[" + whole.replace(b"\n", b",") + b"]")
        path.unlink(missing_ok=True)  # another process may have published it too: at least once is enough
