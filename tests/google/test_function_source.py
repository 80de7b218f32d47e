"""The source archive of the functions runs under functions-framework with nothing installed but its requirements."""

import io
import json
import os
import signal
import subprocess
from zipfile import ZipFile

import httpx
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.google.provisioning.function_source import FUNCTIONS, RUNTIME, archive, requirements
from banditloop.rl_core.events.json_format import encode
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from tests.conftest import rewards
from tests.ports.conftest import google
from tests.support.isolated import command
from tests.support.processes import free_port, listening, wait_until

HEAVY = ("tensorflow", "keras", "tf-agents", "kfp", "kubernetes", "plotly", "duckdb", "deltalake", "pandas", "jax")
MESSAGE = {"data": "e30=", "messageId": "1", "publishTime": "2026-01-01T00:00:00Z"}
TICK = {"message": MESSAGE, "subscription": "projects/p/subscriptions/s"}  # the body of a request of Pub/Sub's
# The other functions in one process: each answers the tick of a project in which nothing is deployed.
TICKS = f"""
import sys, functions_framework
for target in ("trigger", "monitor"):
    client = functions_framework.create_app(target, "main.py").test_client()
    response = client.post("/projects/p/topics/ticks", json={TICK})
    assert response.status_code == 200, response.text
assert not {{"tensorflow", "kfp", "plotly", "kubernetes"}} & sys.modules.keys()
"""


@pytest.fixture
def workspace(tmp_path):
    """The unpacked archive."""
    (folder := tmp_path / "workspace").mkdir()
    ZipFile(io.BytesIO(archive())).extractall(folder)
    return folder


def test_the_archive_runs_with_nothing_but_its_requirements(workspace, tmp_path):
    config, port = google(tmp_path), free_port()
    platform = connect(config)
    platform.bus.publish("rewards", encode(rewards(["a", "b", "c"])))
    environment = os.environ | {"PYTHONPATH": str(workspace), ENVIRONMENT_VARIABLE: json.dumps(config.to_dict())}
    python = command((workspace / "requirements.txt").read_text().splitlines(), tmp_path)
    (workspace / "ticks.py").write_text(TICKS)
    options = ["--target=logger", "--source=main.py", f"--port={port}", "--host=127.0.0.1"]
    start = {"cwd": workspace, "env": environment}
    with (
        subprocess.Popen([*python, "functions_framework", *options], **start) as server,
        subprocess.Popen([*python, "ticks"], **start) as ticks,
    ):
        try:
            wait_until(lambda: listening(port) or server.poll() is not None)
            url = f"http://127.0.0.1:{port}/projects/p/topics/{config.backend.endpoint}-log-ticks"
            assert httpx.post(url, json=TICK, timeout=60).status_code == 200
            assert ticks.wait(60) == 0
        finally:
            server.send_signal(signal.SIGINT)  # gunicorn stops at once
            ticks.terminate()
    assert platform.warehouse.event_counts().received["rewards"] == 3


def test_equal_sources_make_equal_archives(workspace):
    assert archive() == archive() != archive(["mine==1"])
    names = {path.name for path in workspace.iterdir()}
    assert names == {"banditloop", "main.py", "requirements.txt"}
    assert {path.stem for path in (workspace / "banditloop" / "functions").iterdir()} >= set(FUNCTIONS)


def test_the_requirements_are_light_and_pinned():
    lines = requirements(["mine==1"]).splitlines()
    names = [line.partition("==")[0] for line in lines]
    assert all(line.count("==") == 1 for line in lines)
    assert not [name for name in names if any(name.startswith(heavy) for heavy in HEAVY)]
    assert {"functions-framework", "google-cloud-bigquery", "mine"} <= set(names)
    assert RUNTIME == "python311"  # that of `make lock`
