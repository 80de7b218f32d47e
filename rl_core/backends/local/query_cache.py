"""Results of queries on the log, kept as long as none of its files changes: looking again costs nothing."""

import time
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

MAX_SECONDS = 60.0  # for which a result is kept: rows logged while the clock was ahead begin to count later
MAX_RESULTS = 16


class _Result(NamedTuple):
    files: Any
    expires: float  # of time.monotonic
    value: Any


class QueryCache:
    """The latest results, by key."""

    def __init__(self) -> None:
        self._results: dict[Hashable, _Result] = {}

    def get(self, key: Hashable, files: Any, query: Callable[[], tuple[Any, float]]) -> Any:
        """The kept result for a key and files, or else that of the query, which also returns how many seconds it holds.

        files: what identifies the files, read before the query, so that a later change is always noticed.
        """
        kept = self._results.pop(key, None)
        if kept is None or kept.files != files or kept.expires <= time.monotonic():
            start = time.monotonic()
            value, seconds = query()
            kept = _Result(files, start + min(seconds, MAX_SECONDS), value)
        self._results[key] = kept
        while len(self._results) > MAX_RESULTS:
            del self._results[next(iter(self._results))]
        return kept.value
