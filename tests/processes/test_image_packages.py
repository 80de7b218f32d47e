"""`make image` installs what the config names."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("engine", "expected"), [("podman", "'PACKAGES=shop==1.0 other'"), ("gcloud", "_PACKAGES=shop==1.0 other'")]
)
def test_packages_with_parts_of_ones_own_are_installed(tmp_path, engine, expected):
    config = tmp_path / "loop.toml"
    config.write_text('[task]\nactions = 2\n[image]\npackages = ["shop==1.0", "other"]\n')
    command = ["make", "--dry-run", "image", f"CONFIG={config}", "IMAGE=host/name:1", f"ENGINE={engine}"]
    assert expected in subprocess.check_output(command, cwd=ROOT, text=True)
