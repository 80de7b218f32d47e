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
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from banditloop.rl_core.agents import Statistics
from banditloop.rl_core.backends.local import run_folder
from banditloop.rl_core.backends.local.files import identity, read_text, remove_folder, sync
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.ports import Run, RunArtifact, RunState, RunTask, Schedule, Trial


class LocalRunner:
    """See banditloop.rl_core.ports.Runner.

    A run's folder holds template.yaml, parameters.json, log.txt and outcome.json; a file `cancel` asks it to stop.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._identity: tuple[int, ...] | None = None  # of the folder whose names were read
        self._runs: dict[str, Run] = {}  # oldest first; those that have ended never change

    def train(self, config: Config, examples: Path, encoding: Encoding, parent: Path | None, work: Path) -> Statistics:
        from banditloop.rl_core.training.shards import train_here  # needs the extra `train`

        return train_here(config, examples, encoding, parent)

    def trials(self, config: Config, arguments: Sequence[str]) -> list[Trial] | None:
        return None

    def submit(self, template: Path, parameters: dict[str, Any], run_id: str) -> bool:
        from banditloop.rl_core.pipeline_specs.template import check_run  # with YAML, which only a submission needs

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
            sync(self.root)
            _start(self.root / run_id, lock.fileno())
        return True

    def state(self, run_id: str) -> RunState:
        folder = self.root / run_id
        if not folder.is_dir():
            raise InvalidInput(f"run {run_id!r}: there is no such run in {self.root}")
        if _is_locked(folder / "lock"):
            return "running"
        outcome = run_folder.outcome(folder)
        return outcome.state if outcome else "failed"

    def runs(self) -> list[Run]:
        latest, names = identity(self.root), [name for name, run in self._runs.items() if run.state == "running"]
        if latest != self._identity:
            self._identity, names = latest, [path.name for path in self.root.glob("[!.]*")]
            self._runs = {name: run for name in names if (run := self._runs.get(name))}
        if names:
            for name in names:
                self._refresh(name)
            self._runs = dict(sorted(self._runs.items(), key=lambda item: (item[1].started, item[0])))
        return list(self._runs.values())

    def _refresh(self, run_id: str) -> None:
        """Read the state of a run, unless it is known to have ended."""
        if run_id in self._runs and self._runs[run_id].state != "running":
            return
        try:
            state, started, folder = self.state(run_id), self._started(run_id), self.root / run_id
            ended = None if state == "running" else run_folder.ended(folder)
            self._runs[run_id] = Run(run_id, state, started, ended, self.explain(run_id) if state == "failed" else "")
        except (InvalidInput, OSError):  # it was removed meanwhile, or it is not a run
            self._runs.pop(run_id, None)

    def remove(self, run_ids: Sequence[str], dry_run: bool = False) -> Sequence[str]:
        if running := [run_id for run_id in run_ids if self.state(run_id) == "running"]:
            raise InvalidInput(f"run {running[0]!r}: is running, and cannot be removed")
        for run_id in () if dry_run else run_ids:
            remove_folder(self.root / run_id)
        return run_ids

    def cancel(self, run_id: str) -> None:
        if (state := self.state(run_id)) != "running":
            raise InvalidInput(f"run {run_id!r}: is not running: it has {state}")
        (self.root / run_id / run_folder.CANCEL).touch()  # its process looks for it

    def tasks(self, run_id: str) -> list[RunTask]:
        running = self.state(run_id) == "running"
        return run_folder.tasks(self.root / run_id, self._started(run_id), running)

    def artifacts(self, run_id: str) -> list[RunArtifact]:
        self.state(run_id)  # raises if there is no such run
        return run_folder.artifacts(self.root / run_id)

    def page(self, run_id: str) -> str:
        self.state(run_id)
        return ""

    def explain(self, run_id: str) -> str:
        if outcome := run_folder.outcome(self.root / run_id):
            return outcome.reason
        tasks = self.tasks(run_id)
        task = tasks[-1].name if tasks else "starting"
        return task if self.state(run_id) == "running" else f"its process was killed during: {task}"

    def _started(self, run_id: str) -> datetime:
        return datetime.fromtimestamp((self.root / run_id / "lock").stat().st_mtime, UTC)

    def log(self, run_id: str) -> str:
        self.state(run_id)  # raises if there is no such run
        return (self.root / run_id / "log.txt").read_text(errors="replace")

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
    if not path.exists():
        return False
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
