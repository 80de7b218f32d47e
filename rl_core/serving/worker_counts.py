"""Counts of the predictor's workers in shared memory: each writes to its own rows, and any of them can sum all.

The counts of a worker outlive it, so that a killed one leaves no gap: the next one in its place counts on.
"""

import mmap
import threading
import time
from collections.abc import Collection

import numpy as np

ROWS, KEY_BYTES, VALUES = 400, 256, 12
ROW = np.dtype([("key", f"S{KEY_BYTES}"), ("values", "f8", (VALUES,))])
STOPPED, WAITING, SERVING = range(3)  # states of a worker; a waiting one answers, but has no policy yet
BEATS, STATE, HELD, BEAT_AT = range(4)  # positions in a worker's first row
SILENT_SECONDS = 3.0  # a worker beats every second: after so long without a beat, it seems to hang


def counts_bytes(workers: int) -> int:
    """The size of a file for the counts of so many workers."""
    return workers * ROWS * ROW.itemsize


class WorkerCounts:
    """Rows of VALUES numbers by kind and name, separate for each worker. This process is number `worker`.

    file: descriptor of the file that all workers share, of `counts_bytes`; None for a process without others.
    """

    def __init__(self, worker: int = 0, workers: int = 1, file: int | None = None) -> None:
        size = counts_bytes(workers)
        buffer = bytearray(size) if file is None else mmap.mmap(file, size)
        self.worker, self.workers, table = worker, workers, np.frombuffer(buffer, ROW).reshape(workers, ROWS)
        self._keys, self._values = table["key"], table["values"]
        self._added, self._adding = 0, threading.Lock()

    def row(self, kind: str, name: str) -> np.ndarray:
        """This worker's row of a name, float64 [VALUES], to count in. A new one has zeros."""
        key, own = f"{kind} {name}".encode(), self._keys[self.worker]
        with self._adding:
            rows = np.flatnonzero(own == key)
            position = int(rows[0]) if rows.size else self._free_position()
            if not rows.size:
                self._values[self.worker, position] = 0
                own[position] = key
        return self._values[self.worker, position]

    def _free_position(self) -> int:
        """The next free position, in turn: a thread may still count in a row that was dropped a moment ago."""
        free = [int(k) for k in np.flatnonzero(self._keys[self.worker] == b"") if k > 0]
        self._added = next((k for k in free if k > self._added), free[0])
        return self._added

    def keep(self, kind: str, names: Collection[str]) -> None:
        """Drop this worker's rows of a kind, except those of these names."""
        for name, rows in self.by_name(kind).items():
            if self.worker in rows and name not in names:
                own = self._keys[self.worker]
                own[own == f"{kind} {name}".encode()] = b""

    def by_name(self, kind: str) -> dict[str, dict[int, np.ndarray]]:
        """The rows of a kind by name and worker, those of stopped workers included."""
        rows: dict[str, dict[int, np.ndarray]] = {}
        for worker, position in np.argwhere(self._keys != b"").tolist():
            own_kind, _, name = self._keys[worker, position].decode().partition(" ")
            if own_kind == kind:
                rows.setdefault(name, {})[worker] = self._values[worker, position]
        return rows

    def beat(self, is_serving: bool) -> None:
        """Note that this worker answers, and whether it has a policy."""
        own = self._values[self.worker, 0]
        own[BEATS] += 1
        own[BEAT_AT] = time.monotonic()  # which all processes of a machine share
        own[STATE] = SERVING if is_serving else WAITING

    def holds_more(self, connections: int) -> bool:
        """Note how many connections this worker holds; return whether one that answers holds fewer by more than one."""
        first = self._values[:, 0]
        first[self.worker, HELD] = connections
        answers = (first[:, STATE] != STOPPED) & (first[:, BEAT_AT] > time.monotonic() - SILENT_SECONDS)
        return bool(connections > 1 + first[answers, HELD].min(initial=connections))

    def stopped(self, worker: int) -> None:
        """Note that a worker has ended."""
        self._values[worker, 0, [STATE, HELD]] = STOPPED, 0

    def beats(self, worker: int) -> int:
        """How often a worker has noted that it answers."""
        return int(self._values[worker, 0, BEATS])

    def states(self) -> list[int]:
        """The state of each worker."""
        return self._values[:, 0, STATE].astype(int).tolist()
