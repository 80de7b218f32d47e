"""Sequential problems: every benchmark in a file whose name begins with sequential_."""

import importlib
from pathlib import Path

from tests.benchmarks.ratio import Row

PARTS = sorted(path.stem for path in Path(__file__).parent.glob("sequential_*.py"))


def rows() -> list[Row]:
    return [row for part in PARTS for row in importlib.import_module(f"tests.benchmarks.{part}").rows()]
