"""Arrays that are slow to compute, kept on disk. A cache that cannot be read or written costs time and nothing else."""

import contextlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/banditloop, or ~/.cache/banditloop."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "banditloop"


def cached(key: str, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays that `compute` returns, from the cache's file `key`.npz if there is one that can be read.

    key: must name everything that the arrays depend on, as by a digest.
    """
    try:
        path = cache_folder() / f"{key}.npz"
    except RuntimeError:  # there is no home
        return compute()
    arrays = _read(path)
    if arrays is None:
        arrays = compute()
        with contextlib.suppress(OSError):
            _write(path, arrays)
    return arrays


def _read(path: Path) -> Arrays | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _write(path: Path, arrays: Arrays) -> None:
    """Write under another name and rename, so that a file of the final name is always complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
        try:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
