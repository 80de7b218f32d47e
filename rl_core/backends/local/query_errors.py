"""Translation of DuckDB's errors into those that callers handle."""

import contextlib
import re
from collections.abc import Iterator

import duckdb

from banditloop.rl_core.errors import PlatformError

UNREADABLE = r'Failed to read file "(.*?)"'  # in DuckDB's error


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Translate the errors of DuckDB that have a cause outside of it; re-raise others as they are.

    Raises:
        KeyboardInterrupt: for Ctrl-C and SIGTERM, which DuckDB turns into an error that would be retried.
        PlatformError: a data file is damaged.
    """
    try:
        yield
    except RuntimeError as error:
        if "Query interrupted" in str(error):
            raise KeyboardInterrupt from None
        raise
    except duckdb.Error as error:
        if damaged := re.search(UNREADABLE, str(error)):
            text = "is damaged inside; `banditloop repair` sets it aside, with the loss of its rows"
            raise PlatformError(f"{damaged[1]}: {text}") from None
        raise
