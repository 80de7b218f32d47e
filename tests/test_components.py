"""Every component alone, from its YAML file too, and the pipelines from their compiled files."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from kfp import components as kfp_components
from kfp import dsl

from components import IMAGE
from components.deployer import deployer
from components.evaluator import evaluator
from components.generator import generator
from components.ingester import ingester
from components.trainer import trainer
from pipelines.compiling import compile_pipelines, export_components, read_parameters
from rl_core.backends import champion, connect, newest
from rl_core.errors import InvalidInput
from rl_core.policy import SavedPolicy
from rl_core.release import Release
from tests.conftest import make_config
from tests.processes import wait_until

REMOTE = f"example.com/banditloop@sha256:{0:064}"


def artifact(kind, path):
    return kind(name=Path(path).name, uri=str(path), metadata={})


def generate(config, interactions, seed=0):
    metrics = artifact(dsl.Metrics, "metrics")
    generator.python_func(config=config.to_dict(), metrics=metrics, interactions=interactions, seed=seed)
    return metrics.metadata


def test_the_components_one_after_the_other(config, tmp_path):
    platform = connect(config)
    assert generate(config, 300)["decisions_added"] == 300
    assert generate(config, 300)["decisions_added"] == 0  # once
    examples, metrics = artifact(dsl.Dataset, tmp_path / "examples"), artifact(dsl.Metrics, "metrics")
    ingester.python_func(config=config.to_dict(), examples=examples, metrics=metrics)
    training = metrics.metadata["interactions"]
    assert training == examples.metadata["interactions"] == pytest.approx(270, abs=20)
    assert examples.metadata["parent"] == "random"

    first = train(config, examples, tmp_path / "first")
    assert first.metadata["version"].startswith("v1-")
    assert evaluate(config, first, tmp_path)["verdict"]["judgement"] == "canary"
    assert platform.endpoint.release() == Release(champion="random")
    assert deployer.python_func(config=config.to_dict(), policy=first) == first.metadata["version"]
    assert platform.endpoint.release().traffic() == {"random": 80, first.metadata["version"]: 20}
    before = platform.endpoint.release()
    assert deployer.python_func(config=config.to_dict(), policy=first) == first.metadata["version"]
    assert platform.endpoint.release() == before

    generate(config, 2000, seed=1)
    ingester.python_func(config=config.to_dict(), examples=examples, metrics=metrics)
    assert examples.metadata["interactions"] == pytest.approx(1800, abs=60)
    assert examples.metadata["parent"] == first.metadata["version"]
    second = train(config, examples, tmp_path / "second")
    again = train(config, examples, tmp_path / "again")
    assert second.metadata["version"] == again.metadata["version"]  # the same training is the same version
    found = evaluate(config, second, tmp_path)
    assert found["verdict"]["judgement"] == "promote"
    assert [look["version"] for look in found["wealth"]] == [first.metadata["version"], second.metadata["version"]]
    deployer.python_func(config=config.to_dict(), policy=second, judgement="promote")
    manifest = champion(platform.endpoint)
    assert (manifest.generation, manifest.parent) == (2, first.metadata["version"])
    new = examples.metadata["interactions"]
    assert (manifest.interactions, manifest.window.interactions, manifest.run) == (training + new, new, "a-run")
    assert platform.endpoint.release() == Release(champion=manifest.version)
    assert SavedPolicy.load(Path(second.uri)).manifest == manifest


def evaluate(config, policy, folder):
    """The evaluation that the component writes, beside a report and metrics."""
    outputs = {
        name: artifact(kind, folder / name) for name, kind in (("evaluation", dsl.Artifact), ("report", dsl.HTML))
    }
    metrics = artifact(dsl.Metrics, "metrics")
    judgement = evaluator.python_func(
        config=config.to_dict(), policy=policy, metrics=metrics, run_id="a-run", **outputs
    )
    found = json.loads((folder / "evaluation").read_text())
    assert found["verdict"]["judgement"] == judgement
    assert found["verdict"]["run"] == "a-run"
    assert metrics.metadata["held_out_interactions"] == found["interactions"]
    assert found["verdict"]["version"] in (folder / "report").read_text()
    return found


def train(config, examples, folder):
    policy, metrics = artifact(dsl.Model, folder), artifact(dsl.Metrics, "metrics")
    trainer.python_func(config=config.to_dict(), examples=examples, policy=policy, metrics=metrics, run_id="a-run")
    assert metrics.metadata["arms_seen"] == 20
    assert metrics.metadata["condition_number"] > 1
    assert 0 < metrics.metadata["mean_reward"] < 5
    return policy


def test_there_must_be_something_to_ingest(config, tmp_path):
    with pytest.raises(InvalidInput, match="no interactions logged since the beginning"):
        ingester.python_func(
            config=config.to_dict(), examples=artifact(dsl.Dataset, tmp_path), metrics=artifact(dsl.Metrics, "m")
        )


def test_interactions_of_another_environment_are_named_not_trained_on(config, tmp_path):
    generate(config, 50)
    other = make_config(tmp_path, environment={"rank": 5})
    examples, metrics = artifact(dsl.Dataset, tmp_path / "examples"), artifact(dsl.Metrics, "metrics")
    ingester.python_func(config=other.to_dict(), examples=examples, metrics=metrics)
    with pytest.raises(InvalidInput, match=r"interaction simulated-\w+-\d+: an observation of 20 numbers"):
        train(other, examples, tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


def test_another_agents_policy_is_not_resumed_from(config, tmp_path):
    """With other shapes, training starts from all the history again."""
    generate(config, 300)
    deploy_trained(config, tmp_path)
    fewer = make_config(tmp_path, environment={"movies": 10})
    examples = artifact(dsl.Dataset, tmp_path / "more")
    ingester.python_func(config=fewer.to_dict(), examples=examples, metrics=artifact(dsl.Metrics, "metrics"))
    assert examples.metadata["parent"] == ""
    assert examples.metadata["interactions"] == pytest.approx(270, abs=20)
    with pytest.raises(InvalidInput, match=r"Give a changed environment a backend\.root of its own"):
        train(fewer, examples, tmp_path / "fewer")


def test_a_changed_meaning_of_the_reward_is_learned_anew_from_all_the_history(config, tmp_path):
    generate(config, 300)
    deploy_trained(config, tmp_path)
    other = make_config(tmp_path, reward={"default": -1.0})
    examples = artifact(dsl.Dataset, tmp_path / "more")
    ingester.python_func(config=other.to_dict(), examples=examples, metrics=artifact(dsl.Metrics, "metrics"))
    assert (examples.metadata["parent"], examples.metadata["interactions"]) == ("", pytest.approx(270, abs=20))
    deployer.python_func(config=other.to_dict(), policy=train(other, examples, tmp_path / "other"))
    assert newest(connect(other).endpoint).parent is None


def deploy_trained(config, tmp_path):
    examples = artifact(dsl.Dataset, tmp_path / "examples")
    ingester.python_func(config=config.to_dict(), examples=examples, metrics=artifact(dsl.Metrics, "metrics"))
    deployer.python_func(config=config.to_dict(), policy=train(config, examples, tmp_path / "policy"))


def test_exported_components_load_and_say_what_they_take(tmp_path):
    paths = export_components(tmp_path)
    assert [path.stem for path in paths] == ["generator", "ingester", "trainer", "evaluator", "deployer"]
    for path in paths:
        component = kfp_components.load_component_from_file(str(path))
        assert component.component_spec.inputs["config"].type == "Dict"
        assert component.description


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    return compile_pipelines(tmp_path_factory.mktemp("templates"), image=REMOTE)


def test_templates_are_single_documents_pinned_to_one_image(templates):
    for path in templates:
        [spec] = yaml.safe_load_all(path.read_text())
        executors = spec["deploymentSpec"]["executors"].values()
        assert {executor["container"]["image"] for executor in executors} == {REMOTE}
        assert IMAGE not in path.read_text()
        assert "pip install" not in path.read_text()


@pytest.mark.parametrize("which", [0, 1])
def test_vertex_ai_accepts_the_templates_offline(templates, config, which, monkeypatch):
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    parameters = {"config": config.to_dict(), "run_id": "run-1"} | ({"interactions": 10} if which == 0 else {})
    job = aiplatform.PipelineJob(
        display_name="banditloop",
        template_path=str(templates[which]),
        pipeline_root="gs://bucket/root",
        parameter_values=parameters,
        project="project",
        location="europe-west1",
        credentials=AnonymousCredentials(),
    )
    assert "config" in json.dumps(job.to_dict()["runtimeConfig"]["parameterValues"])
    with pytest.raises(ValueError, match="nonsense"):
        aiplatform.PipelineJob(
            display_name="banditloop",
            template_path=str(templates[which]),
            pipeline_root="gs://bucket/root",
            parameter_values={"nonsense": 1},
            project="project",
            location="europe-west1",
            credentials=AnonymousCredentials(),
        )


def test_the_pipelines_run_from_their_compiled_files(templates, config):
    platform, startup, retraining = connect(config), *templates
    parameters = {"config": config.to_dict(), "run_id": "first"}
    platform.runner.submit(startup, parameters | {"interactions": 200}, "first")
    wait_until(lambda: platform.runner.state("first") != "running", 120)
    assert platform.runner.state("first") == "succeeded", platform.runner.explain("first")
    first = newest(platform.endpoint)
    assert (first.generation, first.interactions, first.run) == (1, pytest.approx(180, abs=15), "first")
    assert platform.endpoint.release().role(first.version) == "canary"

    platform.runner.submit(retraining, parameters | {"run_id": "early"}, "early")
    wait_until(lambda: platform.runner.state("early") != "running", 120)
    assert platform.runner.state("early") == "failed"
    assert platform.runner.explain("early").startswith("ingester: InvalidInput: warehouse: no interactions logged")

    generate(config, 100, seed=5)
    platform.runner.submit(retraining, parameters | {"run_id": "second"}, "second")
    wait_until(lambda: platform.runner.state("second") != "running", 120)
    assert platform.runner.state("second") == "succeeded", platform.runner.explain("second")
    assert newest(platform.endpoint).parent == first.version
    assert [(v.judgement, v.by, v.run) for v in platform.endpoint.verdicts()] == [
        ("canary", "evaluator", "first"),
        ("canary", "evaluator", "second"),
    ]


@pytest.mark.parametrize("given", [["seed"], ["none=1"], ["interactions=many"], ["interactions=1.5"], ["config=1"]])
def test_bad_parameters_are_refused(templates, given):
    with pytest.raises(InvalidInput, match="parameter"):
        read_parameters(templates[0], given)


def test_parameters_take_the_types_of_the_template(templates):
    given = ["interactions=5", "run_id=7", 'config={"a": 1}']
    assert read_parameters(templates[0], given) == {"interactions": 5, "run_id": "7", "config": {"a": 1}}
    with pytest.raises(InvalidInput, match="not a compiled pipeline"):
        read_parameters(Path(__file__), [])


def test_the_wheel_holds_the_four_packages_and_their_configs(tmp_path):
    root, source = Path(__file__).parent.parent, tmp_path / "source"
    for name in ("rl_core", "components", "functions", "pipelines"):
        shutil.copytree(root / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source)
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run([sys.executable, *words], check=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {
        "rl_core", "components", "functions", "pipelines",
    }  # fmt: skip
    assert "pipelines/configs/movielens.toml" in names
    [metadata] = [name for name in names if name.endswith("METADATA")]
    required = [x for x in zipfile.ZipFile(wheel).read(metadata).decode().splitlines() if x.startswith("Requires-Dist")]
    assert not [line for line in required if "tf-agents" in line]  # nobody could install what asks for it
    assert not [line for line in required if "tensorflow" in line and "extra ==" not in line]
