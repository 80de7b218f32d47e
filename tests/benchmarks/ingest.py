"""The ingester beside the read of its interactions: decisions joined with their rewards, from a filled warehouse.

Both by the processor time that they take, of all threads: what a machine with other work has to give.
"""

import tempfile
from pathlib import Path

from banditloop.rl_core.backends import connect
from banditloop.rl_core.training.export import export_log
from tests.benchmarks.filled import filled
from tests.benchmarks.ratio import Row, at_least, processor_seconds

ROWS, REPEATS = 500_000, 5


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return [_row(Path(folder) / form, form) for form in ("tfrecord", "arrow")]


def _row(root: Path, form: str) -> Row:
    config = filled(root, ROWS, examples={"format": form})
    platform = connect(config)
    warehouse, examples = platform.warehouse, root / "examples"
    window = warehouse.window(None)

    def read() -> None:
        for _ in warehouse.interactions(window, "training"):
            pass

    def ingest() -> None:
        export_log(config, platform, (None, None), examples)

    read(), ingest()  # warm
    shares = [processor_seconds(read) / processor_seconds(ingest) for _ in range(REPEATS)]
    return at_least(f"data: the ingester to {form}, of the joined read's own rate", shares, "of the rate", 0.5)
