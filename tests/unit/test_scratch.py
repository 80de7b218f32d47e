"""The Google backend's scratch folder belongs to the user alone, and to one endpoint of one project."""

import stat
from pathlib import Path

import pytest

from banditloop.rl_core.backends.google.scratch import scratch_folder
from banditloop.rl_core.settings.backend import GoogleBackend

BACKEND = GoogleBackend(project="a-project", bucket="bucket", image="example.com/image:1", endpoint="shop")


def is_private(folder):
    return stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_is_in_the_home_folder_and_survives_restarts(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = scratch_folder(BACKEND)
    assert folder == scratch_folder(BACKEND) == tmp_path / ".local" / "state" / "banditloop" / "a-project" / "shop"
    assert is_private(folder)
    other = BACKEND.model_copy(update={"project": "b-project"})
    assert scratch_folder(other) != folder  # each project has a policy `random` of its own


@pytest.mark.parametrize("home", ["/proc/no-home", "/dev/null"])
def test_without_a_home_it_is_private_and_its_name_cannot_be_known_before(home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", home)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    one, other = scratch_folder(BACKEND), scratch_folder(BACKEND)
    assert one != other
    for folder in (one, other):
        assert is_private(folder)
        assert Path(tmp_path) in folder.parents
