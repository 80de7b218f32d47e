"""python -m tests.benchmarks [NAME]: run the benchmarks, print a table, write build/bench.json."""

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.ratio import Row

NAMES = ("train", "neural", "encode", "decide", "evaluate", "audit", "promote", "log", "serve")
LONG = (
    "coverage",
    "flood",
    "look",
    "learn",
    "on-policy",
    "tune",
    "year",
    "soak",
    "cloud-log",
    "sequential",
    "data",
    "sums",
    "workers",
)  # minutes: if named


def main(names: list[str]) -> None:
    unknown = set(names) - {*NAMES, *LONG}
    if unknown:
        sys.exit(f"benchmark {', '.join(unknown)}: is not one of: {', '.join(NAMES + LONG)}")
    rows: list[Row] = []
    for name in names or NAMES:
        rows += importlib.import_module(f"tests.benchmarks.{name.replace('-', '_')}").rows()
    table = Table(*Row.__annotations__)
    for row in rows:
        table.add_row(*(f"{value:,.4g}" if isinstance(value, float) else str(value) for value in asdict(row).values()))
    Console(width=140).print(table)
    Path("build").mkdir(exist_ok=True)
    Path("build/bench.json").write_text(json.dumps([asdict(row) for row in rows], indent=2))
    sys.exit(not all(row.holds for row in rows))


main(sys.argv[1:])
