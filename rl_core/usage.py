"""Time, memory, bytes and rows of a task of a pipeline, as metrics beside those of its result."""

import contextlib
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

LOOK_SECONDS = 0.25  # between two samples of the memory of a task's processes
MEGABYTE = 1e6
AnyPath = str | Path


@contextlib.contextmanager
def usage(
    log_metric: Callable[[str, float], object], read: Sequence[AnyPath] = (), written: Sequence[AnyPath] = ()
) -> Iterator[Callable[[int], None]]:
    """Log what the block used, unless it raises. The block gets a function to report its number of rows, if any.

    read and written: paths of files and folders, artifacts of the task; those that do not exist count as empty.

    The metrics are `seconds`; `cpu_seconds`, of this process and of those it started that have ended;
    `peak_memory_mb`, in 10⁶ bytes: the peak of this process since it started or, if larger, the largest sum of it and
    the processes that it started; `bytes_read` and `bytes_written`, of the files; `rows` and `rows_per_second`.
    """
    rows = list[int]()
    started, cpu, read_size = time.monotonic(), _cpu_seconds(), _size(read)
    with _tree_peak() as tree_peak:
        yield rows.append
    seconds = time.monotonic() - started
    log_metric("seconds", round(seconds, 3))
    log_metric("cpu_seconds", round(_cpu_seconds() - cpu, 3))
    log_metric("peak_memory_mb", round(max(_own_peak(), tree_peak()) / MEGABYTE, 1))
    log_metric("bytes_read", read_size)
    log_metric("bytes_written", _size(written))
    if rows:
        log_metric("rows", sum(rows))
        log_metric("rows_per_second", round(sum(rows) / seconds, 1))


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _size(paths: Sequence[AnyPath]) -> int:
    """Bytes in files, and in all files of folders."""
    files = (file for path in map(Path, paths) for file in ([path] if path.is_file() else path.rglob("*")))
    return sum(file.stat().st_size for file in files if file.is_file())


def _own_peak() -> int:
    """The most bytes of memory that this process has had."""
    # VmHWM, since ru_maxrss includes the peak of the parent process. Some kernels, as gVisor's, report ru_maxrss only.
    with contextlib.suppress(OSError, StopIteration):
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


@contextlib.contextmanager
def _tree_peak() -> Iterator[Callable[[], int]]:
    """The largest memory, in bytes, of this process and its descendants as sampled in the block; 0 without Linux."""
    peak, ended = [0], threading.Event()

    def look() -> None:
        is_over = False
        while not is_over:
            is_over = ended.wait(LOOK_SECONDS)  # one more sample at the end
            peak[0] = max(peak[0], sum(map(_resident, _tree(os.getpid()))))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield lambda: peak[0]
    finally:
        ended.set()
        thread.join()


def _tree(process_id: int) -> Iterator[int]:
    """The ids of a process and of its descendants that have not ended."""
    yield process_id
    for file in Path(f"/proc/{process_id}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended meanwhile
            for child in file.read_text().split():
                yield from _tree(int(child))


def _resident(process_id: int) -> int:
    """Bytes of memory that a process has now; 0 if it has ended."""
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * resource.getpagesize()
    return 0
