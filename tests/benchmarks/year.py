"""A year of hourly retrainings, made fast: what they leave on disk, in memory, and to do for a loop that idles."""

import json
import os
import re
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from banditloop.functions.trigger import tick
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.policies.release import Verdict
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.retention import prune
from banditloop.rl_core.promotion.transitions import promote, start_canary
from banditloop.rl_core.testing.events import TASK
from tests.benchmarks.ratio import Row, at_most
from tests.conftest import make_config, make_policy

YEAR, PROMOTED_EVERY = 8_760, 24  # retrainings; of them, every 24th becomes the champion, all others canaries
RUN_BYTES = 100_000  # examples, log and pages that a run leaves


class Footprint(NamedTuple):
    """What a loop takes after some retrainings: disk and memory in megabytes, CPU in milliseconds a look."""

    disk: float
    memory: float
    look: float


def rows() -> list[Row]:
    first, last = footprints(YEAR // 12, YEAR)
    return [
        at_most("year: disk after a year, of that after a month", [last.disk / first.disk], "times", 1.5),
        at_most("year: memory gained since the first month", [last.memory - first.memory], "MB", 50.0),
        at_most("year: CPU of a look every second, without the log", [last.look / 10], "%", 1.0),
    ]


def footprints(first: int, last: int, keep: int = 100, looks: int = 200) -> list[Footprint]:
    """The footprints after some first and all retrainings, of which the newest `keep` are kept."""
    with tempfile.TemporaryDirectory() as name:
        retraining, retention = {"min_new_interactions": 10**9}, {"versions": keep, "runs": keep}
        config = make_config(Path(name), task=TASK.model_dump(), retraining=retraining, retention=retention)
        platform, policy = connect(config), Path(name) / "policy"
        manifest, measured = make_policy(policy, dim=2, actions=2), []
        start = datetime.now(UTC) - timedelta(hours=last + 1)
        for number in range(1, last + 1):
            _retrain(config, platform, policy, manifest, number, start + timedelta(hours=number))
            if number in (first, last):
                measured.append(_measure(config, platform, looks))
    return measured


def _retrain(config: Config, platform: Platform, policy: Path, manifest: Manifest, number: int, at: datetime) -> None:
    """Leave what a retraining leaves: a run, a version, a verdict and a changed release."""
    prune(config, platform)
    version, run_id = f"v{number}-00000000", f"retraining-v{number - 1}-00000000-1"
    run = platform.runner.root / run_id
    run.mkdir(parents=True)
    for name, content in (("lock", ""), ("outcome.json", json.dumps({"state": "succeeded", "reason": ""}))):
        (run / name).write_text(content)
    (run / "examples").write_bytes(b"\1" * RUN_BYTES)
    folder = policy.with_name("next")
    shutil.copytree(policy, folder)
    window = Window(until=at, interactions=500)
    changed = manifest.model_copy(update={"version": version, "generation": number, "window": window, "run": run_id})
    (folder / "manifest.json").write_text(changed.model_dump_json())
    platform.endpoint.add(folder)
    shutil.rmtree(folder)
    release = platform.endpoint.release()
    promoted = release is None or number % PROMOTED_EVERY == 0
    verdict = Verdict(
        at=at + timedelta(minutes=1),
        version=version,
        champion=release.champion if release else "random",
        decision="promote" if promoted else "canary",
        by="monitor",
        run=run_id,
    )
    if promoted:
        promote(platform.endpoint, version, verdict)
    else:
        start_canary(platform.endpoint, version, 20, 0.0, verdict)


def _measure(config: Config, platform: Platform, looks: int) -> Footprint:
    """The footprint now. The log is left out of a look: its share does not depend on the number of versions."""
    root = platform.runner.root.parent
    disk = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 1e6
    time.sleep(1.1)  # files that have just changed are read again
    tick(config, platform)
    start = time.process_time()
    for _ in range(looks):
        tick(config, platform)
    seconds = time.process_time() - start
    since = platform.endpoint.versions()[-1].window.until
    start = time.process_time()
    for _ in range(looks):
        platform.warehouse.window(since)
    log_seconds = time.process_time() - start
    memory = int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{os.getpid()}/status").read_text())[0]) / 1024
    return Footprint(disk, memory, 1e3 * max(0.0, seconds - log_seconds) / looks)
