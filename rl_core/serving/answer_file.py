"""The file of the latest answers, which all processes of a machine share: each reads what the others append."""

import contextlib
import errno
import fcntl
import os
import time
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

FILE_BYTES = 4 << 20
ID_LOCKS = 1 << 30  # ids share a lock where their hashes are equal
HELD_SECONDS, WAIT_SECONDS = 2.0, 0.001  # for which an id may be held; between two attempts to lock it
MAX_ID_LOCKS = 64  # taken one by one; for more ids, all of them at once


class AnswerFile:
    """Lines in a file, appended by several processes. A full file replaces the previous one, and a new one begins.

    Locks are on bytes of a second file, so that they end with their process however it ends: byte 0 is locked while
    lines are appended, and the others stand for ids.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._previous = path, path.with_suffix(".previous")
        self._locks = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        self._file, self._inode, self._offset = -1, -1, 0

    @contextlib.contextmanager
    def held(self, ids: Collection[str]) -> Iterator[None]:
        """Hold these ids: another process that wants to hold one of them waits.

        Raises:
            OSError: one is held for HELD_SECONDS and longer, by a process that hangs.
        """
        bytes_of_ids = sorted({1 + zlib.crc32(name.encode()) % ID_LOCKS for name in ids})  # in order: no deadlocks
        try:
            if len(bytes_of_ids) > MAX_ID_LOCKS:
                self._lock(1, ID_LOCKS)
            else:
                for start in bytes_of_ids:
                    self._lock(start, 1)
            yield
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, ID_LOCKS, 1)

    def _lock(self, start: int, length: int) -> None:
        """Lock bytes. The wait is bounded: meanwhile, this process answers no request."""
        deadline = time.monotonic() + HELD_SECONDS
        while True:
            try:
                return fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(WAIT_SECONDS)

    def read(self) -> list[bytes]:
        """The lines that were appended since this process last read, by others; at first, all lines of both files."""
        lines = self._rest() if self._file >= 0 else []
        if self._inode != _inode(self._path):
            with self._appending():
                lines += self._rest_of_all()
        return lines

    def append(self, lines: list[bytes]) -> list[bytes]:
        """Append lines, and return those that others have appended before them since this process last read.

        Raises:
            OSError: the disk is full.
        """
        with self._appending():
            lines_of_others = self._rest_of_all()
            is_cut_off = self._offset < os.fstat(self._file).st_size  # the process that wrote the last line died
            content = b"\n" * is_cut_off + b"\n".join(lines) + b"\n"
            if os.write(self._file, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            self._offset = os.fstat(self._file).st_size
            if self._offset > FILE_BYTES:
                self._path.replace(self._previous)
                self._open(self._path)
        return lines_of_others

    @contextlib.contextmanager
    def _appending(self) -> Iterator[None]:
        fcntl.lockf(self._locks, fcntl.LOCK_EX, 1, 0)
        try:
            yield
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, 0)

    def _rest_of_all(self) -> list[bytes]:
        """The unread lines of the file, and of those that have replaced it. Nothing is appended meanwhile."""
        lines = self._rest() if self._file >= 0 else []
        while self._inode != _inode(self._path):
            has_previous = _inode(self._previous) not in (None, self._inode)
            self._open(self._previous if has_previous else self._path)
            lines += self._rest()
        return lines

    def _rest(self) -> list[bytes]:
        """The unread lines of the file. One that is still being appended is read later."""
        if (unread := os.fstat(self._file).st_size - self._offset) <= 0:
            return []
        whole, _, _ = os.pread(self._file, unread, self._offset).rpartition(b"\n")
        self._offset += len(whole) + 1 if whole else 0
        return whole.splitlines()

    def _open(self, path: Path) -> None:
        opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)  # first: it fails where the disk is full
        if self._file >= 0:
            os.close(self._file)
        self._file = opened
        self._inode, self._offset = os.fstat(self._file).st_ino, 0


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
