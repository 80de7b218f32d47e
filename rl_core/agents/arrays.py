"""Array files of a policy directory."""

import zipfile
from pathlib import Path

import numpy as np

from banditloop.rl_core.errors import InvalidInput

WEIGHTS, STATISTICS, SAVED_MODEL = "weights.npz", "statistics.npz", "saved_model"
ACTION_FEATURES = "action_features"  # of statistics: encoded features [actions, k], where actions have any
Statistics = dict[str, np.ndarray]


def read_arrays(path: Path) -> Statistics:
    """The arrays of an .npz file, read without pickle.

    Raises:
        InvalidInput: the file is missing, unreadable or not an .npz file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path}: {error}; not the arrays of a policy") from None


def write_arrays(path: Path, arrays: Statistics) -> None:
    """Write an .npz file."""
    np.savez(path, **arrays)  # type: ignore[arg-type]
