"""A folder in which the commands and Python blocks of a page run, one after the other, as a reader would run them."""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from banditloop.pipelines.cli.main import app
from banditloop.pipelines.cli.options import load_config
from banditloop.rl_core.backends import connect
from tests.docs.pages import Block, blocks, commands, without_redirection

NOT_RUN = (  # they need what is not here, or take long and are run by another test; unit tests parse them
    *(". ", "bq ", "export ", "journalctl ", "make ", "pip ", "podman ", "systemctl "),
    *("banditloop cloud ", "banditloop schedule ", "banditloop loop ", "banditloop run submit "),
    "banditloop tune -c loop.toml ",
    *("banditloop run start ", "banditloop compile -o build/pipelines --image ", "banditloop export-components --hub "),
    *("banditloop import log.csv --map action", "banditloop import log.dsjson", "banditloop import all.csv"),
    *(
        "banditloop import trajectories",
        "banditloop evaluate log.parquet",
        "banditloop evaluate log.csv --policy build",
        "banditloop import episodes.parquet",
        "banditloop evaluate episodes.parquet",
        "banditloop play -c cartpole.toml",
    ),
    *(
        "banditloop run artifacts retraining-v3 --open ",
        "banditloop run watch ",
        "banditloop run cancel ",
        "banditloop serve -c loop.toml --log-format ",
    ),
)
VERSION = re.compile(r"\bv3(-0a1b2c3d)?\b")  # of the docs, and a run
RUN = re.compile(r"retraining-v3(-0a1b2c3d-1)?")
MOVES = (["release", "traffic"], ["release", "promote"], ["release", "rollback"])  # which ask on a terminal
PORT = "8080"


def _is_left_out(line: str) -> bool:
    return line.startswith(NOT_RUN) and "--dry-run" not in line


def _save(block: Block) -> None:
    """Save a block as the file that the page names; a loop.toml is the README's."""
    path = Path(block.file)
    if path.name != "loop.toml":
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text)


class Site:
    """The folder, which has the state of the demo, and the port at which its loop.toml is served.

    `serve` is a context manager that serves another config in the folder.
    """

    def __init__(self, folder: Path, port: int, free_port, serve) -> None:
        self.folder, self._port, self._free_port, self._serve = folder, port, free_port, serve
        self._demo = connect(load_config(None).relative_to(folder))
        self._event_id = ""
        self._done: set[str] = set()  # commands that need not run again

    def run(self, page: Path, then=lambda line: None) -> None:
        """Run all blocks of a page, and `then(line)` after each command. A loop that it makes is served to its end."""
        makes_a_loop = any("banditloop init" in block.text for block in blocks(page, "sh"))
        port = self._free_port() if makes_a_loop and page.parts[-2] != "reference" else self._port
        with contextlib.ExitStack() as stack, contextlib.chdir(self.folder):
            for block in blocks(page, "sh", "python", "toml"):
                if block.file:
                    _save(block)
                if block.language == "python":
                    self._call(block, [sys.executable, "-c", block.text.replace(PORT, str(port))])
                for line in commands(block) if block.language == "sh" else ():
                    if not _is_left_out(line):
                        self._run(block, line.replace(PORT, str(port)), port, stack)
                        then(line)

    def _run(self, block: Block, line: str, port: int, stack: contextlib.ExitStack) -> None:
        program, *words = shlex.split(without_redirection(line), comments=True)
        if program == "curl":
            return self._curl(block, line)
        if program == "python":
            self._call(block, [sys.executable, *words])
        elif words[0] == "serve":
            if words[-1] != "loop.toml":  # which is served already
                stack.enter_context(self._serve(self.folder / words[-1]))
        elif words[0] == "init":
            shutil.rmtree(words[1], ignore_errors=True)
            self._banditloop(block, [*words, "--port", str(port)])
        elif "news/" in line or line not in self._done:
            self._done.add(line)
            self._banditloop(block, words)

    def _banditloop(self, block: Block, words: list[str]) -> None:
        """In this process, which spares the imports."""
        asks = words[:2] in MOVES
        words = [*(self._of_the_demo(word) for word in words), *(["--yes"] if asks else [])]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, f"{block}: {' '.join(words)}: {result.output} {result.exception}"

    def _of_the_demo(self, word: str) -> str:
        """A word in which the run and the version of the docs are the newest of the demo; not its champion."""
        if RUN.search(word):
            return RUN.sub(self._demo.runner.runs()[-1].run_id, word)
        if not VERSION.search(word):
            return word
        manifests, champion = self._demo.endpoint.versions(), self._demo.endpoint.release().champion
        return VERSION.sub([made.version for made in manifests if made.version != champion][-1], word)

    def _curl(self, block: Block, line: str) -> None:
        line = line.replace("curl -s", "curl -sS --fail-with-body").replace("EVENT_ID", self._event_id)
        answer = self._call(block, ["bash", "-euc", line])
        if '"predictions"' in answer:
            self._event_id = json.loads(answer)["predictions"][0]["event_id"]

    def _call(self, block: Block, command: list) -> str:
        done = subprocess.run(command, timeout=300, text=True, capture_output=True)
        assert done.returncode == 0, f"{block}: {command}: status {done.returncode}: {done.stdout} {done.stderr}"
        return done.stdout
