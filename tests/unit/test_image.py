"""How the image is made: the two stages, and what `make image` hands to Cloud Build."""

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def handed_to_cloud_build(**variables):
    """The substitutions that `make image ENGINE=gcloud` passes."""
    words = [f"{name}={value}" for name, value in variables.items()]
    command = ["make", "--dry-run", "image", "ENGINE=gcloud", *words]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    [substitutions] = re.findall(r"'\^;\^(.*)'", output)
    return dict(pair.split("=", 1) for pair in substitutions.split(";"))


def test_cloud_build_gets_the_substitutions_that_it_uses():
    handed = handed_to_cloud_build(IMAGE="host:5000/images/ours:1", BASE="python@sha256:0", PACKAGES="mine[a,b] other")
    assert handed["_CACHE"] == "host:5000/images/ours:build"
    assert (handed["_BASE"], handed["_PACKAGES"]) == ("python@sha256:0", "mine[a,b] other")
    text = (ROOT / "components" / "cloudbuild.yaml").read_text()
    assert set(re.findall(r"\$(_[A-Z]+)", text.partition("steps:")[2])) == handed.keys()
    assert [step["name"] for step in yaml.safe_load(text)["steps"]] == ["gcr.io/cloud-builders/docker"] * 4


def test_the_final_stage_installs_nothing():
    build, final = (ROOT / "components" / "Dockerfile").read_text().split("\nFROM ")[1:]
    assert "pip install" in build
    assert not re.search(r"\b(pip|uv|apt-get)\b", final)
    assert "org.opencontainers.image.revision" in final


def test_the_base_is_pinned_by_digest():
    assert re.search(
        r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", (ROOT / "components" / "Dockerfile").read_text(), re.MULTILINE
    )
    assert re.search("@sha256:[0-9a-f]{64}$", handed_to_cloud_build(IMAGE="host/ours:1")["_BASE"])
