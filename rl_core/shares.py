"""Training in shares: each is some of the files, for a machine of its own that may be taken away at any moment.

What a share has come to is kept after every file. Where statistics add up, those of all shares are what one pass over
all files comes to; other agents train in one share.
"""

import time
from functools import reduce
from pathlib import Path

import numpy as np

from rl_core.agents import Additive, Arrays, read_arrays, write_arrays
from rl_core.config import Config
from rl_core.errors import PlatformError
from rl_core.examples import example_files, read_examples
from rl_core.training import start, train

FILES = "files"  # beside the statistics: of how many files they are
LOOK_SECONDS = 1.0


def begin(work: Path, statistics: Arrays) -> None:
    """Let the first share go on from these statistics, unless it has begun."""
    work.mkdir(parents=True, exist_ok=True)
    if not _path(work, 0).exists():
        _keep(_path(work, 0), statistics, 0)


def train_share(config: Config, examples: Path, work: Path, share: int, shares: int) -> None:
    """Learn from every `shares`-th file of a folder from number `share` on, from where this was stopped before.

    The first share ends last: Vertex AI takes away the others when it has ended.
    """
    work.mkdir(parents=True, exist_ok=True)
    path, files = _path(work, share), _files(examples, share, shares)
    done = _done(path)
    statistics = _statistics(config, path)
    for file in files[done:]:
        statistics = train(config, read_examples([file]), statistics)
        done += 1
        _keep(path, statistics, done)
    while share == 0 and _missing(examples, work, shares):
        time.sleep(LOOK_SECONDS)


def merged(config: Config, examples: Path, work: Path, shares: int) -> Arrays:
    """The statistics of all shares together.

    Raises:
        PlatformError: some have not ended.
    """
    if missing := _missing(examples, work, shares):
        raise PlatformError(f"training: shares {missing} of {shares} have not ended, though their machines have")
    found = (_statistics(config, _path(work, share)) for share in range(shares))
    return reduce(config.agent.merge, found) if isinstance(config.agent, Additive) else next(found)


def _missing(examples: Path, work: Path, shares: int) -> list[int]:
    """The shares that have files left."""
    return [share for share in range(shares) if _done(_path(work, share)) < len(_files(examples, share, shares))]


def _files(examples: Path, share: int, shares: int) -> list[Path]:
    return example_files(examples)[share::shares]


def _path(work: Path, share: int) -> Path:
    return work / f"share-{share:05d}.npz"


def _done(path: Path) -> int:
    if not path.exists():
        return 0
    with np.load(path, allow_pickle=False) as arrays:  # reads this one only
        return int(arrays[FILES])


def _statistics(config: Config, path: Path) -> Arrays:
    if not path.exists():
        return start(config, None)
    return {name: array for name, array in read_arrays(path).items() if name != FILES}


def _keep(path: Path, statistics: Arrays, done: int) -> None:
    whole = path.with_suffix(".new.npz")
    write_arrays(whole, statistics | {FILES: np.array(done)})
    whole.replace(path)
