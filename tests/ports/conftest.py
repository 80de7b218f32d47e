"""The contract suite: what rl_core.backends promises, held against every backend, one file for each port.

A backend joins by adding to BACKENDS how its config is made, from a folder of its own and sections to override.
"""

import atexit
import contextlib
import functools
import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from rl_core.backends import Platform, connect
from rl_core.config import Config
from tests import kubeflow as pipelines
from tests.conftest import make_config
from tests.containers import IMAGE
from tests.emulators import PROJECT, emulators
from tests.vertex import Vertex, serve


def local(root: Path, **sections) -> Config:
    return make_config(root, backend={"root": str(root / "a loop, ü #1"), "lease_seconds": 0.2}, **sections)


def google(root: Path, **sections) -> Config:
    """Its root is a name of its own for everything in the emulators, which all tests share."""
    os.environ.update(_emulators())
    name = _name(root)
    backend = {"name": "google", "project": PROJECT, "endpoint": name, "dataset": name}
    backend |= {"image": IMAGE, "bucket": _bucket(name)}
    sections["reward"] = {"window_seconds": 120.0} | sections.get("reward", {})  # the emulator takes its time
    return make_config(root, backend=backend | {"lease_seconds": 0.2}, **sections)


def kfp(root: Path, **sections) -> Config:
    """Pipelines alone are elsewhere than with Google; no emulator is needed to run them."""
    name = _name(root)
    backend = {"name": "google", "project": PROJECT, "endpoint": name, "bucket": name, "image": IMAGE}
    return make_config(root, backend=backend | {"runner": "kfp", "kfp": kubeflow().address}, **sections)


def _name(root: Path) -> str:
    return "t" + hashlib.sha256(str(root).encode()).hexdigest()[:12]


BACKENDS = {"local": local, "google": google}
RUNNERS = BACKENDS | {"kfp": kfp}


@functools.cache
def _emulators() -> dict[str, str]:
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    variables = stack.enter_context(emulators())
    os.environ.update(variables)
    variables["VERTEX_EMULATOR_HOST"] = vertex().address
    return variables


@functools.cache
def _bucket(name: str) -> str:
    return storage.Client(PROJECT, AnonymousCredentials()).create_bucket(name).name


@functools.cache
def vertex() -> Vertex:
    """The one of this process."""
    folder = tempfile.TemporaryDirectory()
    found = serve(Path(folder.name))
    atexit.register(lambda: (found.close(), folder.cleanup()))
    return found


@functools.cache
def kubeflow() -> pipelines.Kubeflow:
    """The one of this process."""
    folder = tempfile.TemporaryDirectory()
    found = pipelines.serve(Path(folder.name))
    atexit.register(folder.cleanup)
    return found


@pytest.fixture(params=BACKENDS.values(), ids=BACKENDS.keys())
def configure(request, tmp_path):
    """Makes a config of the backend, with sections to override."""
    return lambda **sections: request.param(tmp_path, **sections)


@pytest.fixture(autouse=True)
def nothing_stays_deployed():
    """The processes of a test's deployed models end with it."""
    yield
    if vertex.cache_info().currsize:
        vertex().close()


@pytest.fixture
def compacting(configure) -> None:
    """Only where small files are ours to compact."""
    if configure().backend.name == "google":
        pytest.skip("BigQuery compacts by itself")


@pytest.fixture
def pace(configure) -> float:
    """How many times as long as on one machine things take."""
    return {"local": 1.0, "google": 20.0}[configure().backend.name]


@pytest.fixture
def platform(configure) -> Platform:
    return connect(configure())
