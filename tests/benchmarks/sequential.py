"""What issue 20 promises of sequential problems, measured: every benchmark whose name begins with sequential."""

import importlib

from tests.benchmarks.ratio import Row

PARTS = ("sequential_timeline", "sequential_ope")


def rows() -> list[Row]:
    return [row for part in PARTS for row in importlib.import_module(f"tests.benchmarks.{part}").rows()]
