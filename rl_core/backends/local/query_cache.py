"""Results of queries on the log, kept as long as none of its files changes: looking again costs nothing."""

import time
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

MAX_SECONDS = 60.0  # for which a result is kept; rows that were logged while the clock was ahead count later
MAX_RESULTS = 16


class _Result(NamedTuple):
    files: Any
    expires: float  # of time.monotonic
    value: Any


class QueryCache:
    """The latest results, by what was asked."""

    def __init__(self) -> None:
        self._results: dict[Hashable, _Result] = {}

    def get(self, key: Hashable, files: Any, query: Callable[[], tuple[Any, float]]) -> Any:
        """The result for a key on some files: that of before, or the query's, which also says for how long it holds.

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
