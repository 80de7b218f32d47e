"""Sharded training on preemptible machines, checkpointed after every file.

A shard is every n-th file of the training interactions. For agents whose statistics are sums, the merged statistics of
all shards equal those of one pass over all files; other agents train in a single shard. Those that learn from episodes
do so from all files at once.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa

from banditloop.rl_core.agents import Statistics, mergeable, read_arrays, write_arrays
from banditloop.rl_core.agents.arrays import stored_array
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import PlatformError
from banditloop.rl_core.events.examples import example_files, read_examples, read_transitions
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.training.train import initial_statistics, learned_columns, train
from banditloop.rl_core.training.transitions import train_on_episodes

LOGGER = logging.getLogger(__name__)
FILES_DONE = "files"  # the array of a checkpoint that holds the number of files it covers
BEFORE = "before.npz"  # the statistics that the training resumes from, for agents whose updates depend on them
POLL_SECONDS = 1.0


def train_here(config: Config, examples: Path, encoding: Encoding, parent: Path | None) -> Statistics:
    """Train in this process: the statistics of a parent policy directory, or of none, with all interactions added."""
    return _trained(config, encoding, example_files(examples), initial_statistics(config, encoding, parent))


def seed_shards(config: Config, work: Path, statistics: Statistics, encoding: Encoding) -> None:
    """Write what the training resumes from as the first shard's initial checkpoint, unless it already has one.

    The encoding is written for all shards and, if their agent needs them, the statistics too.
    """
    work.mkdir(parents=True, exist_ok=True)
    encoding.write(work)
    if config.agent.learns_from_before and not (work / BEFORE).exists():
        _write(work / BEFORE, statistics)
    if not _path(work, 0).exists():
        _checkpoint(_path(work, 0), statistics, 0)


def train_shard(config: Config, examples: Path, work: Path, shard: int, shards: int) -> None:
    """Train on every `shards`-th file of a folder from number `shard` on, resuming from the last checkpoint.

    The first shard returns last: Vertex AI stops the other replicas once the first has ended.
    """
    work.mkdir(parents=True, exist_ok=True)
    path, files, encoding = _path(work, shard), _files(examples, shard, shards), Encoding.read(work)
    files_done = _files_done(path)
    statistics = _statistics(config, encoding, path)
    before = read_arrays(work / BEFORE) if (work / BEFORE).exists() else None
    rest = files[files_done:]
    for group in [rest] if rest and config.episodes else [[file] for file in rest]:  # episodes: one training on all
        statistics = _trained(config, encoding, group, statistics, before)
        files_done += len(group)
        _checkpoint(path, statistics, files_done)
    while shard == 0 and _unfinished(examples, work, shards):
        time.sleep(POLL_SECONDS)


def merge_shards(config: Config, examples: Path, work: Path, shards: int) -> Statistics:
    """The merged statistics of all shards.

    Raises:
        PlatformError: a shard is unfinished.
    """
    if unfinished := _unfinished(examples, work, shards):
        raise PlatformError(
            f"training: shards {unfinished} of {shards} are unfinished, though their machines have ended"
        )
    encoding = Encoding.read(work)
    statistics = (_statistics(config, encoding, _path(work, shard)) for shard in range(shards))
    agent = mergeable(config.agent)
    return reduce(agent.merge, statistics) if agent else next(statistics)


def _trained(
    config: Config, encoding: Encoding, files: list[Path], statistics: Statistics, before: Statistics | None = None
) -> Statistics:
    """The statistics with the examples of files added; before: as for `train`."""
    if config.episodes is None:
        rows = read_examples(files, config.task, learned_columns(config.agent))
        return train(config, encoding, _logged(rows), statistics, before)
    rows = read_transitions(files, config.task, config.episodes.metrics)
    return train_on_episodes(config, encoding, _logged(rows), statistics)


def _logged(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The tables; logs the number of rows read after each."""
    rows = 0
    for table in tables:
        yield table
        rows += table.num_rows
        LOGGER.debug("training: %d rows", rows)


def _unfinished(examples: Path, work: Path, shards: int) -> list[int]:
    """The shards that have files left to train on."""
    return [shard for shard in range(shards) if _files_done(_path(work, shard)) < len(_files(examples, shard, shards))]


def _files(examples: Path, shard: int, shards: int) -> list[Path]:
    return example_files(examples)[shard::shards]


def _path(work: Path, shard: int) -> Path:
    return work / f"shard-{shard:05d}.npz"


def _files_done(path: Path) -> int:
    """The number of files that a checkpoint covers, 0 if there is none."""
    return int(stored_array(path, FILES_DONE)) if path.exists() else 0


def _statistics(config: Config, encoding: Encoding, path: Path) -> Statistics:
    """The statistics of a checkpoint, or the initial ones if there is none."""
    if not path.exists():
        return initial_statistics(config, encoding, None)
    return {name: array for name, array in read_arrays(path).items() if name != FILES_DONE}


def _checkpoint(path: Path, statistics: Statistics, files_done: int) -> None:
    _write(path, statistics | {FILES_DONE: np.array(files_done)})


def _write(path: Path, arrays: Statistics) -> None:
    """Replace a file atomically, as the machine may be preempted at any moment."""
    partial = path.with_suffix(".new.npz")
    write_arrays(partial, arrays)
    partial.replace(path)
