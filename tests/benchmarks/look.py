"""Looks at a large log that grows: CPU of a scrape, of the monitor's look and of `status`, with many versions."""

import itertools
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.manifest import MANIFEST, Window
from banditloop.rl_core.policies.release import Release, Verdict
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.reports.status import status
from banditloop.rl_core.serving.metrics import log_family
from tests.benchmarks.log import FILE_ROWS, MESSAGE, REWARDED, ROWS, TASK, decisions, rewards, store, version_names
from tests.benchmarks.ratio import Row, at_most
from tests.conftest import make_config, make_policy

BANDITLOOP = Path(sys.executable).parent / "banditloop"
VERSIONS, KEPT = 10_000, 100  # in the log, and of them in the endpoint: the default of retention.versions
LOOKS, PROCESSES, MAX_SECONDS = 30, 21, 0.2
PROMOTED_EVERY = 24  # versions; the others were canaries


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as empty:
        config = make_config(Path(folder), task=TASK.model_dump())
        return [*looks(config), _command(config, make_config(Path(empty), task=TASK.model_dump()))]


def looks(config: Config) -> list[Row]:
    """The benchmark's rows, measured in a root without a log."""
    platform, monitor, numbers = connect(config), connect(config), itertools.count(ROWS, MESSAGE)
    root = platform.runner.root.parent
    store(root / "warehouse", VERSIONS)
    _add_versions(platform)
    first = _cpu(lambda: platform.warehouse.event_counts())
    monitor.warehouse.policy_totals()
    platform.endpoint.versions()
    scrapes, totals, kept = [], [], []
    for _ in range(LOOKS):
        _append(platform, next(numbers))
        scrapes.append(_cpu(lambda: log_family(platform)))
        totals.append(_cpu(lambda: monitor.warehouse.policy_totals()))
        kept.append(_cpu(lambda: status(config, platform)))
    return [
        at_most("look: the first one, which adds up the whole log", [first], "s", 60.0),
        at_most("look: CPU of a scrape after every append", scrapes, "s", MAX_SECONDS),
        at_most("look: CPU of the totals after every append", totals, "s", MAX_SECONDS),
        at_most("look: CPU of the status again", kept, "s", MAX_SECONDS),
    ]


def _command(config: Config, empty: Config) -> Row:
    """CPU of the command `status` beyond what it takes where nothing is logged, which is its start."""
    platform, numbers = connect(config), itertools.count(ROWS + LOOKS * MESSAGE, MESSAGE)
    seconds = []
    for _ in range(PROCESSES):
        _append(platform, next(numbers))
        seconds.append(_status(config) - _status(empty))
    return at_most("look: CPU of `status` in a new process, beyond its start", seconds, "s", MAX_SECONDS)


def _append(platform: Platform, number: int) -> None:
    """Append what a round of the logger does, and two late rewards of events of long ago that had none."""
    platform.warehouse.append("decisions", decisions(number, MESSAGE, VERSIONS))
    platform.warehouse.append("rewards", rewards(number, int(REWARDED * MESSAGE)))
    unrewarded = number // MESSAGE * FILE_ROWS % ROWS + int(REWARDED * FILE_ROWS) + number % 1000
    platform.warehouse.append("rewards", rewards(unrewarded, 2))


def _status(config: Config) -> float:
    """CPU of the command."""
    file, before = Path(config.backend.root) / "config.json", resource.getrusage(resource.RUSAGE_CHILDREN)
    file.parent.mkdir(exist_ok=True)
    file.write_text(config.model_dump_json())
    subprocess.run([BANDITLOOP, "status", "-c", file, "--json"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _cpu(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _add_versions(platform: Platform) -> None:
    """The newest of the versions that were trained hourly, and the verdicts on all; the last is the champion."""
    folder = platform.endpoint.policy("v1-00000000")
    manifest, start = make_policy(folder, dim=2, actions=2), datetime.now(UTC) - timedelta(hours=VERSIONS + 1)
    verdicts = []
    for number, version in enumerate(version_names(np.arange(VERSIONS + 1)).to_pylist()):
        at = start + timedelta(hours=number)
        if number > VERSIONS - KEPT:
            window = Window(until=at, interactions=1000)
            changed = manifest.model_copy(update={"version": version, "generation": number, "window": window})
            folder.with_name(version).mkdir()
            (folder.with_name(version) / MANIFEST).write_text(changed.model_dump_json())
        decision = "promote" if number % PROMOTED_EVERY == 0 else "canary"
        verdict = Verdict(at=at, version=version, champion="random", decision=decision, by="monitor")
        verdicts.append(verdict.model_dump_json() + "\n")
    (folder.parent.parent / "verdicts.jsonl").write_text("".join(verdicts))
    assert platform.endpoint.set_release(None, Release(champion=version))
