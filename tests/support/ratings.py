"""MovieLens-100K as a file for containers: the image contains no data."""

from pathlib import Path

import numpy as np

from banditloop.rl_core.environments.ratings import load_ratings


def write_ratings(path: Path) -> Path:
    """Write the installed package's ratings as a u.data file, unless it exists."""
    if not path.exists():
        matrix = load_ratings(None).matrix
        lines = (f"{user + 1}\t{movie + 1}\t{matrix[user, movie]:.0f}\t0\n" for user, movie in np.argwhere(matrix))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines))
    return path
