"""Arrays on disk, in a policy's directory."""

import zipfile
from pathlib import Path

import numpy as np

from rl_core.errors import InvalidInput

WEIGHTS, STATISTICS, SAVED_MODEL = "weights.npz", "statistics.npz", "saved_model"
Arrays = dict[str, np.ndarray]


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file, never unpickling anything."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path}: {error}; not the arrays of a policy") from None


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write an .npz file."""
    np.savez(path, **arrays)  # type: ignore[arg-type]
