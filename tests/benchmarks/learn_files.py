"""Training from files of examples: beside a compiled loop that reads and adds up Arrow's, and `tf.data` that parses.

TF-Agents' eager loop, with whose rate both are compared too, is in train.py.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from banditloop.rl_core.agents import Batch
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.examples import example_files, write_examples
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.training.shards import train_here
from tests.benchmarks.compiled_sums import CompiledSums
from tests.benchmarks.parsed import parsed
from tests.benchmarks.ratio import Row, at_least, processor_seconds
from tests.conftest import random_interactions, vector_task

ROWS, REPEATS, DIM, ACTIONS = 200_000, 5, 20, 20


def rows() -> list[Row]:
    compiled = CompiledSums()
    return [
        _row("arrow", lambda files: _added(compiled, files), "of the rate of a compiled loop", 0.5),
        _row("tfrecord", parsed, "of the rate of tf.data with vectorised parsing", 0.3),
    ]


def _row(form: str, theirs: Callable[[list[Path]], None], than: str, target: float) -> Row:
    config, table = Config(task=vector_task(DIM, ACTIONS), agent=LinUCB()), random_interactions(ROWS)
    encoding = Encoding.unfitted(config.task)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_examples(table.combine_chunks().to_batches(), folder, form)
        calls = (lambda: theirs(example_files(folder))), (lambda: train_here(config, folder, encoding, None))
        for call in calls:
            call()  # warm
        shares = [processor_seconds(calls[0]) / processor_seconds(calls[1]) for _ in range(REPEATS)]
    return at_least(f"data: training from {form}, {than}", shares, "of the rate", target)


def _added(compiled: CompiledSums, files: list[Path]) -> None:
    """Add the interactions in Arrow files to sums, as columns that are not copied where they need not be."""
    statistics = LinUCB().initial_statistics(DIM, ACTIONS)
    for file in files:
        table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
        for batch in table.to_batches():
            [observations] = batch["context"].flatten()
            x = observations.flatten().to_numpy().reshape(-1, DIM)
            actions = pc.cast(batch["action"], pa.int64()).to_numpy()
            compiled.add(statistics, Batch(x, actions, batch["reward"].to_numpy().astype(np.float64)))
