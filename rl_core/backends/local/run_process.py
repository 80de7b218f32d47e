"""The process of one run: executes its pipeline with kfp.local. Usage: python -m ...run_process FOLDER."""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

from banditloop.rl_core.backends.local.files import write_atomically


def main(folder: Path) -> None:
    """Run folder/template.yaml with folder/parameters.json, and write folder/outcome.json."""
    parameters = json.loads((folder / "parameters.json").read_text())
    _kill_tasks_on_exit()
    try:
        _run(folder, parameters)
        outcome = {"state": "succeeded", "reason": ""}
    except Exception as error:
        outcome = {"state": "failed", "reason": _cause(folder / "log.txt") or f"{type(error).__name__}: {error}"}
    write_atomically(folder / "outcome.json", json.dumps(outcome))
    sys.exit(outcome["state"] != "succeeded")


def _kill_tasks_on_exit() -> None:
    """Kill all processes of this run when this one ends, even by kill -9.

    A shell reads from a pipe whose only writing end is held by this process, and which closes with it. The run is a
    process group of its own, which `kill -9 0` kills.
    """
    read_end, _ = os.pipe()
    subprocess.Popen(["sh", "-c", "read _; kill -9 0"], stdin=read_end)
    os.close(read_end)


def _run(folder: Path, parameters: dict[str, object]) -> None:
    from kfp import components, local

    warnings.filterwarnings("ignore", category=RuntimeWarning, module="kfp.local")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "artifacts"))
    components.load_component_from_file(str(folder / "template.yaml"))(**parameters)


def _cause(log: Path) -> str:
    """Last line of the traceback in a failed task's output; empty without one. KFP's own error only names the task."""
    sys.stdout.flush()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace"))
    lines = re.findall(r"^ {4}(?:[\w.]+\.)?(\w+(?:Error|Exception|Input|Interrupt)\b.*)$", plain, re.MULTILINE)
    task = re.findall(r"Executing task '([^']+)'", plain)
    return f"{task[-1]}: {lines[-1]}" if lines and task else ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
