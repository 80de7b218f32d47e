"""The process of one run: executes its pipeline with kfp.local. Usage: python -m ...run_process FOLDER."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from banditloop.rl_core.backends.local.kfp_local import kfp_local
from banditloop.rl_core.backends.local.run_folder import (
    ARTIFACTS,
    CANCEL,
    CANCELLED,
    OUTCOME,
    Outcome,
    plain_log,
)

CANCEL_SECONDS = 0.2  # between two checks whether the run is cancelled


def main(folder: Path) -> None:
    """Run folder/template.yaml with folder/parameters.json, and write folder/outcome.json."""
    parameters = json.loads((folder / "parameters.json").read_text())
    _kill_tasks_on_exit()
    threading.Thread(target=_end_when_cancelled, args=(folder,), daemon=True).start()
    try:
        _run(folder, parameters)
        outcome = Outcome("succeeded", "")
    except Exception as error:
        outcome = Outcome("failed", _cause(folder) or f"{type(error).__name__}: {error}")
    outcome.write(folder)
    sys.exit(outcome.state != "succeeded")


def _end_when_cancelled(folder: Path) -> None:
    """End this process and its tasks once the run is cancelled."""
    while not (folder / CANCEL).exists():
        time.sleep(CANCEL_SECONDS)
    if not (folder / OUTCOME).exists():
        Outcome("failed", CANCELLED).write(folder)
    os.killpg(0, signal.SIGKILL)


def _kill_tasks_on_exit() -> None:
    """Kill all processes of this run when this one ends, even by kill -9.

    A shell reads from a pipe whose only writing end is held by this process, and which closes with it. The run is a
    process group of its own, which `kill -9 0` kills.
    """
    read_end, _ = os.pipe()
    subprocess.Popen(["sh", "-c", "read _; kill -9 0"], stdin=read_end)
    os.close(read_end)


def _run(folder: Path, parameters: dict[str, object]) -> None:
    from kfp import components

    with kfp_local(folder / ARTIFACTS):
        components.load_component_from_file(str(folder / "template.yaml"))(**parameters)


def _cause(folder: Path) -> str:
    """Last line of the traceback in a failed task's output; empty without one. KFP's own error only names the task."""
    sys.stdout.flush()
    plain = plain_log(folder)
    lines = re.findall(r"^ {4}(?:[\w.]+\.)?(\w+(?:Error|Exception|Input|Interrupt)\b.*)$", plain, re.MULTILINE)
    task = re.findall(r"Executing task '([^']+)'", plain)
    return f"{task[-1]}: {lines[-1]}" if lines and task else ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
