"""The process of one run: python -m rl_core.backends.local.run FOLDER. The only place that starts kfp.local."""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

from rl_core.backends.local.files import write_whole


def main(folder: Path) -> None:
    """Run folder/template.yaml with folder/parameters.json and leave folder/outcome.json."""
    parameters = json.loads((folder / "parameters.json").read_text())
    _kill_tasks_at_the_end()
    try:
        _run(folder, parameters)
        outcome = {"state": "succeeded", "reason": ""}
    except Exception as error:
        outcome = {"state": "failed", "reason": _cause(folder / "log.txt") or f"{type(error).__name__}: {error}"}
    write_whole(folder / "outcome.json", json.dumps(outcome))
    sys.exit(outcome["state"] != "succeeded")


def _kill_tasks_at_the_end() -> None:
    """Let nothing of this run outlive it, not even after kill -9.

    A shell waits for the end of a pipe that only this process holds. The run is a process group of its own, and
    `kill 0` is for all of it.
    """
    read, _ = os.pipe()  # the writing end closes with this process
    subprocess.Popen(["sh", "-c", "read _; kill -9 0"], stdin=read)
    os.close(read)


def _run(folder: Path, parameters: dict[str, object]) -> None:
    from kfp import components, local

    warnings.filterwarnings("ignore", category=RuntimeWarning, module="kfp.local")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "artifacts"))
    components.load_component_from_file(str(folder / "template.yaml"))(**parameters)


def _cause(log: Path) -> str:
    """The last line of the traceback that a task's own process printed: KFP itself only says which task failed."""
    sys.stdout.flush()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text())
    lines = re.findall(r"^ {4}(?:[\w.]+\.)?(\w+(?:Error|Exception|Input|Interrupt)\b.*)$", plain, re.MULTILINE)
    task = re.findall(r"Executing task '([^']+)'", plain)
    return f"{task[-1]}: {lines[-1]}" if lines and task else ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
