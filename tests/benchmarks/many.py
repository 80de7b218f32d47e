"""A hundred million interactions from a filled warehouse to a policy: memory, and time linear in their number.

`python -m tests.benchmarks.many [ROWS ...]`: by hand, as it takes half an hour and 65 GB of disk, which are given back.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.training.export import export_log
from banditloop.rl_core.training.policy import train_policy
from tests.benchmarks.filled import filled
from tests.benchmarks.ratio import Row, at_most

SIZES = (1_000_000, 10_000_000, 100_000_000)
BYTES_PER_ROW = 650  # of the warehouse and the examples


class Taken(NamedTuple):
    """What it took from a warehouse to a policy."""

    rows: int
    seconds: float
    gigabytes: float


def rows(sizes: tuple[int, ...] = SIZES) -> list[Row]:
    taken = [_taken(size) for size in sizes]
    for one in taken:
        print(
            f"{one.rows:,} interactions: {one.seconds:.1f} s, {one.rows / one.seconds:,.0f}/s, {one.gigabytes:.2f} GB"
        )
    memory = [one.gigabytes for one in taken]
    found = [at_most(f"many: memory, up to {max(sizes):,} interactions", memory, "GB", 2.0, worst=True)]
    if len(sizes) > 1:
        exponent = np.polyfit(*np.log([(one.rows, one.seconds) for one in taken]).T, 1)[0]
        found.append(at_most("many: time ∝ interactions to the power of", [float(exponent)], "", 1.1))
    return found


def _taken(size: int) -> Taken:
    """That of a new process."""
    with tempfile.TemporaryDirectory() as folder:
        if shutil.disk_usage(folder).free < BYTES_PER_ROW * size:
            sys.exit(
                f"{folder}: {size:,} interactions take {BYTES_PER_ROW * size >> 30} GB of disk, which are not free"
            )
        config = filled(Path(folder), size, examples={"format": "arrow"})
        (Path(folder) / "config.json").write_text(config.model_dump_json())
        command = [sys.executable, "-m", "tests.benchmarks.many", folder]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return Taken(size, *json.loads(output.splitlines()[-1]))


def _train(folder: Path) -> tuple[float, float]:
    """Seconds and gigabytes that this process, which starts anew, takes."""
    config = Config.parse(json.loads((folder / "config.json").read_text()))
    start, platform, examples = time.perf_counter(), connect(config), folder / "examples"
    export = export_log(config, platform, (None, None), examples)
    train_policy(config, platform, examples, folder / "policy", export.metadata)
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return time.perf_counter() - start, int(kilobytes) / (1 << 20)


if __name__ == "__main__":
    if Path(sys.argv[-1]).is_dir():
        print(json.dumps(_train(Path(sys.argv[-1]))))
    else:
        for row in rows(tuple(map(int, sys.argv[1:])) or SIZES):
            print(row)
