"""The curve of on-policy training in TensorBoard, and a trace for its profiler. Imports TensorFlow."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from banditloop.rl_core.tf import tf
from banditloop.rl_core.training.on_policy.curve import Curve

FLUSH_MILLISECONDS = 2_000
PROFILED_LOOPS = 20  # from the first on: a trace of many is too large to look at


@contextlib.contextmanager
def summaries(folder: Path, profile: bool = False) -> Iterator[Callable[[Curve], None]]:
    """A function that writes the last loop of a curve, into a folder of TensorBoard's logs.

    The step of a scalar is the number of interactions. profile: whether to trace the first loops, Python's calls too,
    for TensorBoard's profiler.
    """
    writer = tf.summary.create_file_writer(str(folder), flush_millis=FLUSH_MILLISECONDS)
    trace = _Trace(folder) if profile else None

    def write(curve: Curve) -> None:
        last = curve.loops[-1]
        with writer.as_default(step=last.interactions):
            for tag, value in last.scalars().items():
                tf.summary.scalar(tag, value)
        if trace:
            trace.count()

    try:
        yield write
    finally:
        if trace:
            trace.stop()
        writer.close()


class _Trace:
    """TensorFlow's profiler, which stops after the first loops."""

    def __init__(self, folder: Path) -> None:
        self._loops = 0
        tf.profiler.experimental.start(str(folder), tf.profiler.experimental.ProfilerOptions(python_tracer_level=1))

    def count(self) -> None:
        self._loops += 1
        if self._loops == PROFILED_LOOPS:
            tf.profiler.experimental.stop()

    def stop(self) -> None:
        if self._loops < PROFILED_LOOPS:
            tf.profiler.experimental.stop()
