"""Stand-ins of a test's own: a project for `banditloop cloud`, and Vertex AI where a test must know every call."""

import json
import sys
from types import SimpleNamespace

import pytest

from banditloop.pipelines.cli.main import main
from banditloop.rl_core.backends.google.provisioning import apply
from banditloop.rl_core.config import Config
from tests.ports import conftest as ports
from tests.support.emulators import PROJECT
from tests.support.project import project
from tests.support.vertex import serve

IMAGE = f"europe-docker.pkg.dev/{PROJECT}/images/banditloop@sha256:{'0' * 64}"


@pytest.fixture
def own_vertex(tmp_path, monkeypatch):
    """A Vertex AI stand-in of this test alone, to inject failures and count calls."""
    (folder := tmp_path / "vertex").mkdir()
    stand_in = serve(folder)
    variables = ports._emulators() | {"VERTEX_EMULATOR_HOST": stand_in.address}
    monkeypatch.setenv("VERTEX_EMULATOR_HOST", stand_in.address)
    monkeypatch.setattr(ports, "_emulators", lambda: variables)
    yield stand_in
    stand_in.close()


@pytest.fixture
def cloud(tmp_path, monkeypatch, capsys):
    """An empty project, its config, and a function that runs `banditloop cloud`."""
    values = ports.google(tmp_path).to_dict()
    name = values["backend"]["endpoint"]
    values["backend"] |= {"image": IMAGE, "bucket": f"{name}-bucket", "logger_minutes": 5}
    path = tmp_path / "loop.json"
    path.write_text(json.dumps(values))
    monkeypatch.setattr("banditloop.rl_core.backends.retries.RETRY_SECONDS", 1.0)
    monkeypatch.setattr(apply, "PROPAGATION_SECONDS", 0.5)

    def run(*arguments: str, code: int = 0) -> list[dict[str, str]] | str:
        """The rows that a command prints, or its error message. Its warnings are in `run.warnings`."""
        monkeypatch.setattr(sys, "argv", ["banditloop", "cloud", *arguments, "-c", str(path), "--json"])
        with pytest.raises(SystemExit) as exit_info:
            main()
        output = capsys.readouterr()
        assert (exit_info.value.code or 0) == code, output
        messages = output.err.strip().splitlines()
        run.warnings = [message for message in messages if message.startswith("warning: ")]
        if code:
            assert output.out == ""
            [error] = messages[len(run.warnings) :]
            return error
        return json.loads(output.out)

    with project() as (stand_in, variables):
        for variable, address in variables.items():
            monkeypatch.setenv(variable, address)
        yield SimpleNamespace(
            run=run, project=stand_in, name=name, config=Config.parse(values), path=path, values=values
        )
