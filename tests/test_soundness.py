"""Pipelines that cannot run, as KFP compiles or a hand changes them, are refused with the place and the reason."""

import copy

import pytest
import yaml

from pipelines.compiling import compile_pipelines
from rl_core.backend import pinned
from rl_core.backends.soundness import faults, faults_elsewhere
from rl_core.backends.templates import checked, read_template
from rl_core.errors import InvalidInput

IMAGE = "europe-docker.pkg.dev/p/r/banditloop:0123abc"


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    _, retraining = compile_pipelines(tmp_path_factory.mktemp("templates"), image=IMAGE)
    return read_template(retraining)


def change(spec, value, *path):
    """The specification with another value at a place; None takes it away."""
    changed = copy.deepcopy(spec)
    *way, last = path
    at = changed
    for key in way:
        at = at[key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return changed


TASKS = ("root", "dag", "tasks")
TRAINER = (*TASKS, "trainer", "inputs")
CODE = ("deploymentSpec", "executors", "exec-trainer", "container")


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ("Retraining!", ("pipelineInfo", "name"), "name 'Retraining!': give it small letters"),
        ("exec-none", ("components", "comp-trainer", "executorLabel"), "executor 'exec-none': there is none"),
        ("comp-none", (*TASKS, "trainer", "componentRef", "name"), "task 'trainer': component 'comp-none'"),
        (["none"], (*TASKS, "trainer", "dependentTasks"), "task 'trainer': waits for 'none'"),
        (None, (*TRAINER, "artifacts", "examples"), "task 'trainer': input 'examples': is missing"),
        (
            {"taskOutputArtifact": {"producerTask": "ingester", "outputArtifactKey": "none"}},
            (*TRAINER, "artifacts", "examples"),
            "task 'trainer': input 'examples': 'ingester.none': there is no such",
        ),
        (
            {"taskOutputArtifact": {"producerTask": "ingester", "outputArtifactKey": "metrics"}},
            (*TRAINER, "artifacts", "examples"),
            "'ingester.metrics': is of type system.Metrics, not system.Dataset",
        ),
        ({"componentInputParameter": "none"}, (*TRAINER, "parameters", "config"), "'none': there is no such"),
        ({"componentInputParameter": "run_id"}, (*TRAINER, "parameters", "config"), "is of type STRING, not STRUCT"),
        ({"runtimeValue": {"constant": 3}}, (*TRAINER, "parameters", "run_id"), "3: is not of type STRING"),
        ({"runtimeValue": {"constant": ""}}, (*TRAINER, "parameters", "no"), "input 'no': its component has no such"),
        (["x" * 2**17], (*CODE, "args"), "executor 'exec-trainer': its code is over 128 KiB"),
    ],
)
def test_what_cannot_run_is_named(spec, value, path, words):
    assert list(faults(spec)) == list(faults_elsewhere(spec)) == []
    found = "\n".join(faults(change(spec, value, *path)))
    assert words in found


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ("banditloop:latest", (*CODE, "image"), "executor 'exec-trainer': image 'banditloop:latest': name one in"),
        (["sh", "-c", "pip install x"], (*CODE, "command"), "executor 'exec-trainer': installs packages when it runs"),
    ],
)
def test_what_cannot_run_elsewhere_runs_here(spec, value, path, words):
    changed = change(spec, value, *path)
    assert list(faults(changed)) == []
    [found] = faults_elsewhere(changed)
    assert found.startswith(words)


def test_files_are_refused_with_the_first_fault(spec, tmp_path):
    path = tmp_path / "pipeline.yaml"
    parameters = {"config": {}, "run_id": "a"}
    path.write_text(yaml.safe_dump(change(spec, "banditloop:latest", *CODE, "image")))
    checked(path, parameters)
    with pytest.raises(InvalidInput, match=r"pipeline.yaml: executor 'exec-trainer': image"):
        checked(path, parameters, elsewhere=True)
    path.write_text(yaml.safe_dump_all([spec, {"platforms": {}}]))
    with pytest.raises(InvalidInput, match="is several documents"):
        checked(path, parameters)
    path.write_text(yaml.safe_dump(spec))
    with pytest.raises(InvalidInput, match="parameters: are over 128 KiB"):
        checked(path, parameters | {"config": {"a": "x" * 2**17}})


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (IMAGE, True),
        (f"example.com/r/banditloop@sha256:{0:064}", True),
        (f"example.com/r/banditloop:1@sha256:{0:064}", True),
        ("registry:5000/banditloop:1", True),
        ("example.com/banditloop", False),
        ("example.com/banditloop:latest", False),
        ("localhost/banditloop:1", False),
        ("localhost:5000/banditloop:1", False),
        ("banditloop:1", False),
        ("user/banditloop:1", False),
        ("example.com/r/banditloop@sha256:0", False),
    ],
)
def test_images_that_others_find(image, found):
    assert pinned(image) == found
