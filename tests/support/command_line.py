"""The command line, each command in a process of its own, forked from one that has imported it already."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from banditloop.pipelines.cli.commands import COMMANDS
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE

SECONDS = 300
FORKS = multiprocessing.get_context("forkserver")
MODULES = {f"banditloop.pipelines.cli.{target.partition(':')[0]}" for target in COMMANDS.values()}
FORKS.set_forkserver_preload(["banditloop.pipelines.cli.main", *sorted(MODULES), "tests.support.command_line"])


def banditloop(*words, cwd=None, **environment) -> subprocess.CompletedProcess[str]:
    """The result of a command; `environment` adds variables, some of which are read when Python starts."""
    variables = {k: v for k, v in os.environ.items() if k != ENVIRONMENT_VARIABLE} | environment
    arguments = list(map(str, words))
    if environment:
        command = [sys.executable, "-m", "banditloop.pipelines", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=variables, timeout=SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        process = FORKS.Process(target=_run, args=(arguments, cwd or Path.cwd(), variables, outputs))
        process.start()
        process.join(SECONDS)
        assert process.exitcode is not None, f"{arguments} has not ended"
        return subprocess.CompletedProcess(arguments, process.exitcode, *(path.read_text() for path in outputs))


def _run(arguments: list[str], cwd: Path, variables: dict[str, str], outputs: list[Path]) -> None:
    from banditloop.pipelines.cli.main import main

    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["banditloop", *arguments]
    main()


def assert_refused(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Exit code 2 and one line on stderr that contains the parts."""
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr
