"""The SQLite file of one topic's queue: opened once, and replaced where the disk has damaged it."""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock
from litequeue import LiteQueue, MessageStatus

from banditloop.rl_core.errors import PlatformError

PAGE_BYTES, CHECKPOINT_PAGES = 16 << 10, 64  # large pages for large messages; short checkpoints, which block nobody
DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR_SHORT_READ)
MISSING_TABLE = "no such table"
SUFFIXES = ("", "-wal", "-shm")  # of the files of one database
log = logging.getLogger("banditloop.bus")


class QueueFile:
    """The queue in a file. Another process may replace the file at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue, self._inode = self._open()

    @contextlib.contextmanager
    def use(self) -> Iterator[LiteQueue]:
        """The queue, for one operation.

        Raises:
            PlatformError: the file was damaged. It was replaced, with all messages that can still be read.
        """
        if not self.is_current():
            self._queue.close()
            self._queue, self._inode = self._open()
        try:
            yield self._queue
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._queue.close()
            with self._lock():
                if self.is_current():  # no other process has replaced it
                    self._replace()
            raise PlatformError(f"{self._path}: was damaged, and is replaced: {error}") from None

    def is_current(self) -> bool:
        """Whether the open file still has this name; messages put into a file that was replaced are lost."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _open(self) -> tuple[LiteQueue, int]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock():
            if self._path.exists() and not self._path.stat().st_size:
                log.error("%s: is empty; the messages that it held are lost", self._path)
            try:
                queue = _open(self._path)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._replace()
                queue = _open(self._path)
            return queue, self._path.stat().st_ino

    def _lock(self) -> FileLock:
        """The lock for opening: SQLite's timeout does not cover several processes that create the same queue."""
        return FileLock(self._path.parent / "opening.lock")

    def _replace(self) -> None:
        """Set the file aside, and put all messages that can still be read into a new one."""
        aside = self._path.with_suffix(f".damaged-{time.time_ns()}")
        messages, fresh = _readable(self._path), self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)  # left by a crash
        queue = _open(fresh)
        for message in messages:
            queue.put(message)
        queue.close()  # which moves all pages from its write-ahead log into the file
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").rename(f"{aside}{suffix}")
        fresh.rename(self._path)
        log.error(
            "%s: is damaged; %d messages could be read, others are lost; kept as %s",
            self._path,
            len(messages),
            aside.name,
        )


def _open(path: Path) -> LiteQueue:
    connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    queue = LiteQueue(connection)
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    return queue


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    return code in DAMAGE_CODES or code & 0xFF in DAMAGE_CODES or MISSING_TABLE in str(error)


def _readable(path: Path) -> list[str]:
    """The messages not yet acknowledged that come before the first damaged page, and after the last one."""
    messages: dict[int, str] = {}
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        for order in "ASC", "DESC":
            query = f"SELECT rowid, data FROM Queue NOT INDEXED WHERE status <> ? ORDER BY rowid {order}"
            with contextlib.suppress(sqlite3.DatabaseError):
                for number, data in connection.execute(query, [MessageStatus.DONE.value]):
                    messages[number] = data
    return [messages[number] for number in sorted(messages)]
