"""Invalid pipeline specifications, compiled or edited by hand, are refused with location and reason."""

import copy

import pytest
import yaml

from banditloop.pipelines.compile import compile_pipelines
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.pipeline_specs.lint import errors, remote_errors
from banditloop.rl_core.pipeline_specs.template import check_run, read_template
from banditloop.rl_core.settings.backend import is_pinned

IMAGE = "europe-docker.pkg.dev/p/r/banditloop:0123abc"


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    _, retraining = compile_pipelines(tmp_path_factory.mktemp("templates"), image=IMAGE)
    return read_template(retraining)


def change(spec, value, *path):
    """A copy of the specification with `value` at `path`; None deletes the key."""
    changed = copy.deepcopy(spec)
    *parents, key = path
    node = changed
    for parent in parents:
        node = node[parent]
    if value is None:
        del node[key]
    else:
        node[key] = value
    return changed


TASKS = ("root", "dag", "tasks")
TRAINER = (*TASKS, "trainer", "inputs")
CODE = ("deploymentSpec", "executors", "exec-trainer", "container")


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ("Retraining!", ("pipelineInfo", "name"), "name 'Retraining!': use lowercase letters"),
        ("exec-none", ("components", "comp-trainer", "executorLabel"), "executor 'exec-none': does not exist"),
        ("comp-none", (*TASKS, "trainer", "componentRef", "name"), "task 'trainer': component 'comp-none'"),
        (["none"], (*TASKS, "trainer", "dependentTasks"), "task 'trainer': depends on 'none'"),
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
        (["x" * 2**17], (*CODE, "args"), "executor 'exec-trainer': its code exceeds 128 KiB"),
    ],
)
def test_errors_name_the_faulty_part(spec, value, path, message):
    assert list(errors(spec)) == list(remote_errors(spec)) == []
    messages = "\n".join(errors(change(spec, value, *path)))
    assert message in messages


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ("banditloop:latest", (*CODE, "image"), "executor 'exec-trainer': image 'banditloop:latest': name one in"),
        (["sh", "-c", "pip install x"], (*CODE, "command"), "executor 'exec-trainer': installs packages at run time"),
    ],
)
def test_remote_errors_do_not_prevent_local_runs(spec, value, path, message):
    changed = change(spec, value, *path)
    assert list(errors(changed)) == []
    [error] = remote_errors(changed)
    assert error.startswith(message)


def test_a_file_is_refused_with_its_first_error(spec, tmp_path):
    path = tmp_path / "pipeline.yaml"
    parameters = {"config": {}, "run_id": "a"}
    path.write_text(yaml.safe_dump(change(spec, "banditloop:latest", *CODE, "image")))
    check_run(path, parameters)
    with pytest.raises(InvalidInput, match=r"pipeline.yaml: executor 'exec-trainer': image"):
        check_run(path, parameters, remote=True)
    path.write_text(yaml.safe_dump_all([spec, {"platforms": {}}]))
    with pytest.raises(InvalidInput, match="has several documents"):
        check_run(path, parameters)
    path.write_text(yaml.safe_dump(spec))
    with pytest.raises(InvalidInput, match="parameters: exceed 128 KiB"):
        check_run(path, parameters | {"config": {"a": "x" * 2**17}})


@pytest.mark.parametrize(
    ("image", "pinned"),
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
def test_images_with_registry_and_tag_or_digest_are_pinned(image, pinned):
    assert is_pinned(image) == pinned
