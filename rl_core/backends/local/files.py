"""Files: atomic writes, and reads with one-line errors."""

import os
import tempfile
from pathlib import Path

from banditloop.rl_core.errors import InvalidInput


def write_atomically(path: Path, text: str) -> None:
    """Replace the content of a file; readers see the complete old text or the complete new one, also after a crash."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


def read_text(path: Path) -> str:
    """Text of a file whose path the user gave. InvalidInput: it cannot be read."""
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: {error}") from None
