"""The built wheel, installed for a project that has packages with the names of our top-level folders."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from tests.conftest import make_config
from tests.support.processes import wait_until

ROOT = Path(__file__).parents[2]
FOLDERS = ("rl_core", "components", "functions", "pipelines")
BUILT = (*FOLDERS, "src", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the tree that keeps its links, as build archives do."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    archive = folder / "source.tar"
    subprocess.run(["tar", "-C", ROOT, "--exclude=__pycache__", "-cf", archive, *BUILT], check=True)
    subprocess.run(["tar", "-C", source, "-xf", archive], check=True)
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run([sys.executable, *words], check=True)
    [path] = folder.glob("*.whl")
    return path


def test_the_wheel_holds_one_package_with_types_and_configs(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"banditloop"}
    for folder in FOLDERS:
        built = {name for name in names if name.startswith(f"banditloop/{folder}/") and name.endswith(".py")}
        assert built == {f"banditloop/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*.py")}
    assert {"banditloop/py.typed", "banditloop/pipelines/configs/movielens.toml"} <= set(names)
    assert "banditloop/functions/requirements.lock" in names  # of the archive that Cloud Functions builds
    [metadata] = [name for name in names if name.endswith("METADATA")]
    required = [x for x in zipfile.ZipFile(wheel).read(metadata).decode().splitlines() if x.startswith("Requires-Dist")]
    assert not [line for line in required if "tf-agents" in line]  # a wheel that requires it cannot be installed
    assert not [line for line in required if "tensorflow" in line and "extra ==" not in line]


@pytest.fixture
def project(wheel, tmp_path, monkeypatch):
    """A folder with packages under our folders' names, for which the wheel is installed."""
    site, folder = tmp_path / "site", tmp_path / "project"
    words = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, *words], check=True)
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise SystemExit('the project has a {name} of its own')")
    monkeypatch.setenv("PYTHONPATH", str(site))
    return folder


@pytest.mark.slow
def test_the_wheel_works_beside_packages_of_the_same_names(project):
    def banditloop(*words):
        return [sys.executable, "-m", "banditloop.pipelines", *words]

    def run(*words):
        return subprocess.run(words, cwd=project, check=True, capture_output=True, text=True, env=os.environ).stdout

    assert run(sys.executable, "-c", "import banditloop; print(banditloop.__file__)").startswith(
        str(project.parent / "site")
    )
    config = make_config(project, policy={"saved_model": False})
    (project / "loop.json").write_text(json.dumps(config.to_dict()))
    assert "release" in run(*banditloop("--help"))
    run(*banditloop("compile", "-o", "pipelines", "-c", "loop.json"))
    startup = ("run", "start", "pipelines/startup.yaml", "-p", "interactions=200", "-c", "loop.json")
    assert "succeeded" in run(*banditloop(*startup))
    with subprocess.Popen(banditloop("serve", "-c", "loop.json"), cwd=project) as serving:
        endpoint = connect(Config.load(project / "loop.json")).endpoint
        try:
            wait_until(endpoint.serving_versions)
            answer = requests.post(f"{endpoint.url()}/predict", json={"instances": [[0.1] * 20]}, timeout=60)
            assert answer.json()["predictions"][0]["event_id"]
        finally:
            serving.terminate()
