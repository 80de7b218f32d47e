"""A filled local warehouse: interactions of 20 numbers among 20 actions, each drawn from its logged probabilities."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.schema import LOGGED_AT, STORED_TABLES, TIME
from tests.benchmarks import log
from tests.conftest import make_config

FILE_ROWS = 500_000


def filled(root: Path, rows: int, **sections: dict[str, object]) -> Config:
    """The config of a loop under `root` whose log has so many interactions, nine of ten with a reward."""
    reward = {"attribution_window_seconds": 10.0}
    config = make_config(root, task=log.TASK.model_dump(), reward=reward, **sections)
    warehouse = connect(config).warehouse._root
    for start in range(0, rows, FILE_ROWS):
        count = min(FILE_ROWS, rows - start)
        rewards = log.rewards(start, count).slice(0, int(log.REWARDED * count))
        for name, events in {"decisions": _decisions(start, count), "rewards": rewards}.items():
            logged_at = pa.array([log.START + timedelta(days=30, milliseconds=start)] * events.num_rows, TIME)
            write_deltalake(warehouse / STORED_TABLES[name], events.append_column(LOGGED_AT, logged_at), mode="append")
    return config


def _decisions(start: int, count: int) -> pa.Table:
    table = log.decisions(start, count)
    probabilities = table["probabilities"].combine_chunks().flatten().to_numpy().reshape(count, log.WIDTH)
    draws = np.random.default_rng([start, 1]).random((count, 1))
    actions = (probabilities.cumsum(axis=1) < draws).sum(axis=1).clip(max=log.WIDTH - 1)
    drawn = {"action": pa.array(actions).cast(pa.string()), "propensity": probabilities[np.arange(count), actions]}
    for name, values in drawn.items():
        table = table.set_column(table.column_names.index(name), table.schema.field(name), pa.array(values))
    return table
