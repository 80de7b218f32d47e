"""An attempt at a tuning: a folder from which it resumes after it was killed, locked by one process at a time."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.tuning.objective import Source

SOURCE = "source.json"


@contextmanager
def attempt(folder: Path, source: Source) -> Iterator[Source]:
    """The source that the attempt in a folder began with, or this one if it is new. On success the folder is removed.

    Raises:
        InvalidInput: another process is tuning there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        yield _begun_with(folder, source)
        shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of an attempt. InvalidInput: another process holds it."""
    lock = FileLock(folder.with_name(f"{folder.name}.lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise InvalidInput(f"tuning: another process is trying these settings, in {folder}") from None
    try:
        yield
    finally:
        lock.release()


def _begun_with(folder: Path, source: Source) -> Source:
    """The source that the attempt in a folder began with; this one, written there, if it is new."""
    folder.mkdir(exist_ok=True)
    path = folder / SOURCE
    if path.exists():
        return Source(**json.loads(path.read_text()))
    partial = folder / f"new-{SOURCE}"
    partial.write_text(json.dumps(source._asdict()))
    partial.replace(path)
    return source
