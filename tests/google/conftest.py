"""A stand-in of a test's own, where it must know every call."""

import pytest

from tests.ports import conftest as ports
from tests.support.vertex import serve


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
