"""Files on this machine or in an object store, by path or URI."""

import pyarrow
from pyarrow.fs import FileSystem

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events import table_file


def locate(source: str, key: str, hint: str) -> tuple[FileSystem, str]:
    """The file system of a path or of a URI such as gs://bucket/folder, and the path in it.

    Raises:
        InvalidInput: the URI is not valid; names the config key, and gives the hint.
    """
    try:
        return table_file.locate(source)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise InvalidInput(f"{key} = {source!r}: {error}; {hint}") from None


def read(file_system: FileSystem, path: str, key: str, hint: str) -> bytes:
    """The content of a file.

    Raises:
        InvalidInput: it cannot be read; names the config key, and gives the hint.
    """
    try:
        with file_system.open_input_stream(path) as file:
            return file.read()
    except OSError as error:
        raise InvalidInput(f"{key} = {path!r}: {error.strerror or error}; {hint}") from None
