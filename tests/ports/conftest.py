"""Fixtures that run the contract suites of banditloop.rl_core.testing on every backend: one test file per port.

To add a backend, register in BACKENDS a function that makes its config from a root folder and overriding sections.
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

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.ports import Platform
from tests.conftest import make_config
from tests.support import kubeflow as pipelines
from tests.support.containers import IMAGE
from tests.support.emulators import PROJECT, emulators
from tests.support.vertex import Vertex, serve


def local(root: Path, **sections) -> Config:
    sections["bus"] = {"lease_seconds": 0.2} | sections.get("bus", {})
    return make_config(root, backend={"root": str(root / "a loop, ü #1")}, **sections)


def google(root: Path, **sections) -> Config:
    """A config whose resource names are derived from the root folder, since all tests share the emulators."""
    os.environ.update(_emulators())
    name = _name(root)
    backend = {"name": "google", "project": PROJECT, "endpoint": name, "dataset": name}
    backend |= {"logger_minutes": 0}  # or windows would wait for it
    backend |= {"image": IMAGE, "bucket": _bucket(name)} | sections.pop("backend", {})
    reward = {"attribution_window_seconds": 120.0}  # the emulator is slow
    sections["reward"] = reward | sections.get("reward", {})
    sections["bus"] = {"lease_seconds": 0.2} | sections.get("bus", {})
    return make_config(root, backend=backend, **sections)


def kfp(root: Path, **sections) -> Config:
    """A Google config whose pipelines run on Kubeflow Pipelines, which needs no emulator."""
    name = _name(root)
    backend = {"name": "google", "project": PROJECT, "endpoint": name, "bucket": name, "image": IMAGE}
    return make_config(root, backend=backend | {"runner": "kfp", "kfp_host": kubeflow().address}, **sections)


def _name(root: Path) -> str:
    return "t" + hashlib.sha256(str(root).encode()).hexdigest()[:12]


BACKENDS = {"local": local, "google": google}
RUNNERS = BACKENDS | {"kfp": kfp}
CLOUD = ("google", "kfp")


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
    """The Vertex AI stand-in that the tests of this process share."""
    folder = tempfile.TemporaryDirectory()
    stand_in = serve(Path(folder.name))
    atexit.register(lambda: (stand_in.close(), folder.cleanup()))
    return stand_in


@functools.cache
def kubeflow() -> pipelines.Kubeflow:
    """The Kubeflow Pipelines stand-in that the tests of this process share."""
    folder = tempfile.TemporaryDirectory()
    stand_in = pipelines.serve(Path(folder.name))
    atexit.register(folder.cleanup)
    return stand_in


def backend_params(backends) -> list:
    """One pytest parameter per backend; those that need emulators or cloud stand-ins are marked `cloud`."""
    return [
        pytest.param(make, id=name, marks=pytest.mark.cloud if name in CLOUD else ()) for name, make in backends.items()
    ]


@pytest.fixture(params=backend_params(BACKENDS))
def configure(request, tmp_path):
    """A function that makes a config of the backend, with overriding sections."""
    return lambda **sections: request.param(tmp_path, **sections)


@pytest.fixture(autouse=True)
def stop_deployed_models():
    """Stop the processes of a test's deployed models at its end."""
    yield
    if vertex.cache_info().currsize:
        vertex().close()


@pytest.fixture
def platform(configure) -> Platform:
    return connect(configure())


class EveryBackend:
    """Fixtures of the contract suites that depend on the backend."""

    @pytest.fixture
    def pace(self, configure) -> float:
        return {"local": 1.0, "google": 5.0}[configure().backend.name]  # so that a wait exceeds 2 × lease_seconds too

    @pytest.fixture
    def compacting(self, configure) -> None:
        if configure().backend.name == "google":
            pytest.skip("BigQuery compacts by itself")
