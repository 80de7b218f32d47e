"""The timeline of a million logged decisions: episodes of 22 steps with four features, each with its reward."""

import tempfile
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Warehouse
from banditloop.rl_core.testing.backends.timeline import steps
from tests.benchmarks.ratio import Row, at_most, seconds
from tests.conftest import rewards

DECISIONS, APPENDED, LENGTH, REPEATS = 1_000_000, 100_000, 22, 5
FEATURES = ("position", "velocity", "angle", "angular_velocity")
TASK = {"actions": 2, "reward_range": [0, 1], "context": dict.fromkeys(FEATURES, "number")}
START = datetime(2026, 1, 1, tzinfo=UTC)


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        values = {"task": TASK, "backend": {"root": folder}, "agent": {"name": "ppo"}, "episodes": {}}
        config = Config.parse(values)
        warehouse = connect(config).warehouse
        for first in range(0, DECISIONS, APPENDED):
            _append(config, warehouse, np.arange(first, first + APPENDED))
        taken = [seconds(lambda: _read(warehouse)) for _ in range(REPEATS)]
    return [at_most("sequential: the timeline of a million decisions", taken, "s", 5.0)]


def _append(config: Config, warehouse: Warehouse, numbers: np.ndarray) -> None:
    """Log decisions of these numbers, which follow each other, and their rewards."""
    ids, episodes, step = [f"event-{number}" for number in numbers], numbers // LENGTH, numbers % LENGTH
    states = np.random.default_rng(int(numbers[0])).normal(size=(len(FEATURES), len(numbers)))
    contexts = pa.StructArray.from_arrays([pa.array(values) for values in states], FEATURES)
    names = [f"episode-{episode}" for episode in episodes]
    fields = {"context": contexts, "terminal": step == LENGTH - 1, "task": config.task, "at": START}
    warehouse.append("rewards", rewards(ids, at=START))
    warehouse.append("decisions", steps(ids, names, step.tolist(), **fields))


def _read(warehouse: Warehouse) -> None:
    count = sum(batch.num_rows for batch in warehouse.transitions(warehouse.window(None)))
    assert count == DECISIONS - DECISIONS % LENGTH  # the last episode goes on
