"""The local runner: every run is a process with a folder of its own.

The submitter locks the run's lock file and passes the open file to the process. The operating system releases the lock
when the process ends, however it ends: a run is alive exactly while its lock is held.
"""

import errno
import fcntl
import json
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.backends.local.files import read_text
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.pipeline_specs.template import check_run
from banditloop.rl_core.ports import Run, RunState, Schedule


class LocalRunner:
    """See banditloop.rl_core.ports.Runner.

    A run's folder holds template.yaml, parameters.json, log.txt and outcome.json.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def train(self, config: Config, examples: Path, encoding: Encoding, parent: Path | None, work: Path) -> Statistics:
        from banditloop.rl_core.training.shards import train_here  # imports TensorFlow

        return train_here(config, examples, encoding, parent)

    def submit(self, template: Path, parameters: dict[str, Any], run_id: str) -> bool:
        check_run(template, parameters)
        self.root.mkdir(parents=True, exist_ok=True)
        text, folder = read_text(template), Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / "template.yaml").write_text(text)
            (folder / "parameters.json").write_text(json.dumps(parameters))
            try:
                folder.rename(self.root / run_id)  # atomic: only one submitter gets the run id
            except OSError as error:
                shutil.rmtree(folder)
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                return False
            _start(self.root / run_id, lock.fileno())
        return True

    def state(self, run_id: str) -> RunState:
        folder = self.root / run_id
        if not folder.is_dir():
            raise InvalidInput(f"run {run_id!r}: there is no such run in {self.root}")
        if _is_locked(folder / "lock"):
            return "running"
        outcome = folder / "outcome.json"
        return json.loads(outcome.read_text())["state"] if outcome.exists() else "failed"

    def runs(self) -> list[Run]:
        starts = [(lock.stat().st_mtime, lock.parent.name) for lock in self.root.glob("[!.]*/lock")]
        return [Run(name, self.state(name), datetime.fromtimestamp(start, UTC)) for start, name in sorted(starts)]

    def explain(self, run_id: str) -> str:
        folder = self.root / run_id
        outcome = folder / "outcome.json"
        if outcome.exists():
            return json.loads(outcome.read_text())["reason"]
        log = folder / "log.txt"
        tasks = [line for line in log.read_text().splitlines() if "Executing task" in line] if log.exists() else []
        task = tasks[-1].split("'")[1] if tasks else "starting"
        return task if self.state(run_id) == "running" else f"its process was killed during: {task}"

    def log(self, run_id: str) -> str:
        self.state(run_id)  # raises if there is no such run
        return (self.root / run_id / "log.txt").read_text()

    def schedule(self, name: str, cron: str, template: Path, parameters: dict[str, Any]) -> None:
        _refuse_schedule(name)

    def schedules(self) -> list[Schedule]:
        return []

    def pause(self, name: str) -> None:
        _refuse_schedule(name)

    def resume(self, name: str) -> None:
        _refuse_schedule(name)

    def unschedule(self, name: str) -> bool:
        _refuse_schedule(name)


def _refuse_schedule(name: str) -> NoReturn:
    raise InvalidInput(
        f"schedule {name!r}: nothing on this machine runs pipelines at set times; `banditloop serve` retrains here"
    )


def _start(folder: Path, lock: int) -> None:
    with (folder / "log.txt").open("w") as log:
        subprocess.Popen(
            [sys.executable, "-u", "-m", "banditloop.rl_core.backends.local.run_process", str(folder)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            pass_fds=[lock],
            start_new_session=True,
        )


def _is_locked(path: Path) -> bool:
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
