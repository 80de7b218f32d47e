"""Files: atomic writes that survive a crash of the machine, and reads with one-line errors."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from banditloop.rl_core.errors import InvalidInput

REMOVED = ".removed-"  # begins the names of folders that are being removed
REPAIRED = {"event": "repaired"}  # extra field of what is logged about a file that was damaged and is whole again
LEFT_SECONDS = 86_400.0  # age at which an unfinished file is taken as left by a crash
FRESH_NS = 1_000_000_000  # longer than the resolution of any file system's times


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the content of a file; readers see the complete old text or the complete new one, also after a crash."""
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    sync(path.parent)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is written and on disk; where writing fails, nothing is left."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise


def remove_unfinished(folder: Path) -> None:
    """Remove the files that crashes have left of `atomic_file`."""
    for path in folder.glob(".*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > LEFT_SECONDS:
                path.unlink()


def copy_atomically(folder: Path, target: Path) -> None:
    """Copy a folder to a new name, which appears once all files are on disk. One process at a time may do so."""
    copy = target.parent / ".incoming"
    shutil.rmtree(copy, ignore_errors=True)  # left by a crash
    shutil.copytree(folder, copy)
    for path in [*copy.rglob("*"), copy]:
        sync(path)
    copy.rename(target)
    sync(target.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder: rename it, then delete it, and others whose removal was interrupted by a crash. Idempotent."""
    if folder.exists():
        folder.rename(folder.with_name(f"{REMOVED}{folder.name}-{time.time_ns()}"))
    for removed in folder.parent.glob(f"{REMOVED}*"):
        shutil.rmtree(removed, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def identity(path: Path) -> tuple[int, ...] | None:
    """Inode, size and time, which change with the content of a file or the names in a folder; None if it is missing.

    A file changed less than FRESH_NS ago gets an identity that equals no other, since a later change might leave all
    three as they are.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    now = time.time_ns()
    fresh = (now,) if abs(now - status.st_mtime_ns) < FRESH_NS else ()
    return status.st_ino, status.st_size, status.st_mtime_ns, *fresh


def read_text(path: Path) -> str:
    """Text of a file whose path the user gave. InvalidInput: it cannot be read."""
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: {error}") from None
