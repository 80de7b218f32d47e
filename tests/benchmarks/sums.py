"""The sums of linear agents: the rate of training on columns, a training on a hundredth more, and the memory.

`python -m tests.benchmarks.sums AGENT ACTIONS DIM` prints the peak of the memory over what the process had before, in
sizes of the statistics, of training, saving (a SavedModel too), resuming, loading and serving.
"""

import gc
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from banditloop.rl_core.agents import AGENTS, STATISTICS, Agent, Batch, Statistics, read_arrays, write_arrays
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.config import Config
from banditloop.rl_core.events.examples import write_examples
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.settings.registry import registered
from banditloop.rl_core.training.lineage import random_manifest
from banditloop.rl_core.training.shards import train_here
from banditloop.rl_core.training.train import finite
from tests.benchmarks.compiled_sums import CompiledSums
from tests.benchmarks.ratio import Row, at_least, at_most, processor_seconds, seconds
from tests.conftest import assert_same, random_interactions, vector_task

REPEATS, BATCH = 5, 100_000
SIZES = {(20, 20): 0.5, (1_000, 20): 0.5, (100_000, 20): 0.25, (1_000, 500): 0.5}  # actions, dim: least rate
FULL, DELTA = 200_000, 2_000
TOUCHED = 1_000, 200  # actions, dim
MEMORY = [("linucb", 100_000, 20), ("linear_thompson", 100_000, 20), ("linucb", 1_000, 500)]


def rows() -> list[Row]:
    compiled = CompiledSums()
    rates = [_rate(compiled, *size, target) for size, target in SIZES.items()]
    return [*rates, _delta(), _touched(), _export(), *(_memory(*case) for case in MEMORY)]


def batch(actions: int, dim: int, rows: int, seed: int = 0) -> Batch:
    random = np.random.default_rng(seed)
    observations = random.normal(size=(rows, dim)).astype(np.float32)
    return Batch(observations, random.integers(actions, size=rows), random.normal(size=rows))


def _rate(compiled: CompiledSums, actions: int, dim: int, target: float) -> Row:
    agent, interactions = LinUCB(), batch(actions, dim, BATCH if dim < 100 else BATCH // 10)
    statistics = agent.initial_statistics(dim, actions)
    calls = (lambda: compiled.add(statistics, interactions)), (lambda: agent.accumulate(statistics, interactions))
    for call in calls:
        call()  # warm
    ratios = [seconds(calls[0]) / seconds(calls[1]) for _ in range(REPEATS)]
    return at_least(f"sums: {actions:,} actions × {dim}, of a compiled loop's rate", ratios, "of the rate", target)


def _delta() -> Row:
    """A training on a hundredth more, from a policy to the next one, beside one on all, which it must equal."""
    config = Config(task=vector_task(20, 20), agent=LinUCB())
    encoding, table = Encoding.unfitted(config.task), random_interactions(FULL)
    manifest = random_manifest(config).model_copy(update={"version": "v1"})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {"full": table, "before": table.slice(DELTA), "delta": table.slice(0, DELTA)}
        for part, some in parts.items():
            write_examples(some.combine_chunks().to_batches(), folder / part)

        def train(part: str, parent: Path | None = None) -> None:
            statistics = train_here(config, folder / part, encoding, parent)
            write_policy(folder / f"policy-{part}", manifest, statistics, encoding, parent=parent)

        train("before")  # warm: imports TensorFlow
        parent = folder / "policy-before"
        train("delta", parent)
        shares = [
            processor_seconds(lambda: train("delta", parent)) / processor_seconds(lambda: train("full"))
            for _ in range(REPEATS)
        ]
        assert_same(*(read_arrays(folder / f"policy-{part}" / STATISTICS) for part in ("delta", "full")))
    return at_most("sums: a training on 1 % more, of the processor time of one on all", shares, "of the time", 0.03)


def _touched() -> Row:
    """The next policy where one of a hundred actions has new interactions, beside one where all have."""
    agent, (actions, dim) = LinUCB(), TOUCHED
    with tempfile.TemporaryDirectory() as name:
        parent, folder = Path(name) / "parent", Path(name) / "next"
        parent.mkdir()
        folder.mkdir()
        statistics = agent.update(agent.initial_statistics(dim, actions), [batch(actions, dim, BATCH // 10)])
        write_arrays(parent / STATISTICS, statistics)
        agent.save(statistics, parent)
        new = batch(actions // 100, dim, BATCH // 100), batch(actions, dim, BATCH // 10, 1)
        few, all_of_them = (agent.update(statistics, [some]) for some in new)

        def cpu(statistics: Statistics) -> float:
            return processor_seconds(lambda: agent.save_next(statistics, folder, parent))

        cpu(few)  # warm
        ratios = [cpu(few) / cpu(all_of_them) for _ in range(REPEATS)]
    return at_most("sums: 1,000 actions × 200, 10 with new interactions, of all", ratios, "of the time", 0.5)


def _export() -> Row:
    """A SavedModel of a thousand actions beside one of twenty: what it costs does not grow with the actions."""
    agent = LinUCB()
    with tempfile.TemporaryDirectory() as name:
        folders = {actions: Path(name) / str(actions) for actions in (20, 1_000)}
        for actions, folder in folders.items():
            folder.mkdir()
            agent.save(agent.initial_statistics(20, actions), folder)

        def cpu(actions: int) -> float:
            return processor_seconds(lambda: agent.export_saved_model(folders[actions], 20, actions))

        cpu(20)  # warm: imports TensorFlow
        ratios = [cpu(1_000) / cpu(20) for _ in range(REPEATS)]
    return at_most("sums: a SavedModel of 1,000 actions, of the time of one of 20", ratios, "of the time", 2)


def _memory(name: str, actions: int, dim: int) -> Row:
    command = [sys.executable, "-m", "tests.benchmarks.sums", name, str(actions), str(dim)]
    peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return at_most(f"sums: {name}, {actions:,} actions × {dim}: peak memory", [peak], "× statistics", 2.5)


def peak_memory(name: str, actions: int, dim: int) -> float:
    """The peak of the memory over that of before, in sizes of the statistics, of this process, which starts anew."""
    agent = registered(AGENTS, Agent, {"name": name}, "agent")
    with tempfile.TemporaryDirectory() as folder:
        _train(agent, Path(folder) / "0", 20, 20, 0, Path(folder) / "0")  # imports TensorFlow
    before, size = _peak(), sum(array.nbytes for array in agent.initial_statistics(dim, actions).values())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        for seed in range(2):
            _train(agent, path / str(seed), actions, dim, seed, path / "0")
        agent.load(path / "1").probabilities(batch(actions, dim, 1).observations)
    return (_peak() - before) / size


def _train(agent: Agent, folder: Path, actions: int, dim: int, seed: int, parent: Path) -> None:
    """Train from the statistics of a parent, or of nothing if it is the folder itself, and save to the folder."""
    folder.mkdir()
    resumes = parent != folder
    statistics = read_arrays(parent / STATISTICS) if resumes else agent.initial_statistics(dim, actions)
    statistics = agent.resumed(statistics)
    statistics = finite(agent.update(statistics, _batches(actions, dim, seed)))
    write_arrays(folder / STATISTICS, statistics)
    agent.save_next(statistics, folder, parent) if resumes else agent.save(statistics, folder)
    agent.export_saved_model(folder, dim, actions)
    gc.collect()  # frees TensorFlow's variables, which the end of a training's process does
    agent.metrics(statistics)


def _batches(actions: int, dim: int, seed: int) -> Iterator[Batch]:
    return (batch(actions, dim, 10_000, 2 * seed + number) for number in range(2))


def _peak() -> int:
    """In bytes. (`getrusage` would begin with that of the process that started this one.)"""
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return 1024 * int(kilobytes)


if __name__ == "__main__":
    print(peak_memory(sys.argv[1], *map(int, sys.argv[2:])))
