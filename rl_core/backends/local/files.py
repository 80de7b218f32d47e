"""Files that are whole, or not there."""

import os
import tempfile
from pathlib import Path

from rl_core.errors import InvalidInput


def write_whole(path: Path, text: str) -> None:
    """Replace a file so that every reader finds the old text or the new, whole."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


def read_text(path: Path) -> str:
    """The text of a file that a user named."""
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: {error}") from None
