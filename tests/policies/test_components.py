"""Components, called directly and loaded from their YAML files, and the pipelines run from their compiled files."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl
from kfp import components as kfp_components
from plotly.offline import get_plotlyjs

from banditloop.components import IMAGE
from banditloop.components.evaluator import evaluator
from banditloop.components.generator import generator
from banditloop.components.ingester import ingester
from banditloop.components.trainer import trainer
from banditloop.pipelines.compile import compile_on_request, compile_pipelines, export_components, read_parameters
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.audits import read_audits
from banditloop.rl_core.policies.manifest import read_manifest
from banditloop.rl_core.policies.release import Release
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.current import champion_manifest, latest_released
from banditloop.rl_core.reports.retrainings import retraining_rows
from tests.conftest import make_config, make_policy
from tests.support.components import artifact, deploy_policy, ingest
from tests.support.processes import wait_until

REMOTE = f"example.com/banditloop@sha256:{0:064}"


def generate(config, interactions, seed=0):
    metrics = artifact(dsl.Metrics, "metrics")
    generator.python_func(config=config.to_dict(), metrics=metrics, interactions=interactions, seed=seed)
    return metrics.metadata


@pytest.mark.slow
def test_the_components_run_one_after_another(tmp_path):
    config = make_config(tmp_path, policy={"saved_model": True})
    platform = connect(config)
    assert generate(config, 300)["decisions_added"] == 300
    assert generate(config, 300)["decisions_added"] == 0  # the same events are added only once
    examples, metrics = artifact(dsl.Dataset, tmp_path / "examples"), artifact(dsl.Metrics, "metrics")
    ingest(config, examples, metrics)
    training = metrics.metadata["interactions"]
    assert training == examples.metadata["interactions"] == pytest.approx(270, abs=20)
    assert (examples.metadata["parent"], examples.metadata["previous"]) == ("", "random")

    first = train(config, examples, tmp_path / "first")
    assert first.metadata["version"].startswith("v1-")
    assert "saved_model.pb" in read_manifest(Path(first.path)).files
    assert evaluate(config, first, tmp_path)["verdict"]["decision"] == "canary"
    assert platform.endpoint.release() == Release(champion="random")
    assert deploy_policy(config, first) == first.metadata["version"]
    assert platform.endpoint.release().traffic() == {"random": 80, first.metadata["version"]: 20}
    before = platform.endpoint.release()
    assert deploy_policy(config, first) == first.metadata["version"]
    assert platform.endpoint.release() == before

    generate(config, 2000, seed=1)
    ingest(config, examples, metrics)
    assert examples.metadata["interactions"] == pytest.approx(1800, abs=60)
    assert examples.metadata["parent"] == first.metadata["version"]
    second = train(config, examples, tmp_path / "second")
    repeated = train(config, examples, tmp_path / "repeated")
    assert second.metadata["version"] == repeated.metadata["version"]  # the same training is the same version
    evaluation = evaluate(config, second, tmp_path)
    assert evaluation["verdict"]["decision"] == "promote"
    assert [evidence["version"] for evidence in evaluation["wealth"]] == [
        first.metadata["version"],
        second.metadata["version"],
    ]
    deploy_policy(config, second, decision="promote")
    manifest = champion_manifest(platform.endpoint)
    assert (manifest.generation, manifest.parent) == (2, first.metadata["version"])
    new = examples.metadata["interactions"]
    assert (manifest.interactions, manifest.window.interactions, manifest.run) == (training + new, new, "a-run")
    assert platform.endpoint.release() == Release(champion=manifest.version)
    assert SavedPolicy.load(Path(second.uri)).manifest == manifest


def evaluate(config, policy, folder):
    """The evaluation that the evaluator writes; its report and metrics are checked."""
    outputs = {
        name: artifact(kind, folder / name) for name, kind in (("evaluation", dsl.Artifact), ("report", dsl.HTML))
    }
    metrics = artifact(dsl.Metrics, "metrics")
    decision = evaluator.python_func(config=config.to_dict(), policy=policy, metrics=metrics, run_id="a-run", **outputs)
    evaluation = json.loads((folder / "evaluation").read_text())
    assert evaluation["verdict"]["decision"] == decision
    assert evaluation["verdict"]["run"] == "a-run"
    assert metrics.metadata["held_out_interactions"] == evaluation["interactions"]
    page = (folder / "report").read_text()
    assert evaluation["verdict"]["version"] in page
    assert len(page) < 200_000  # plotly, 4.8 MB, is there once for all pages
    [script] = re.findall(r'<script src="([^"]+)">', page)
    assert (folder / script).resolve().read_text() == get_plotlyjs()
    return evaluation


def train(config, examples, folder):
    policy, metrics = artifact(dsl.Model, folder), artifact(dsl.Metrics, "metrics")
    trainer.python_func(config=config.to_dict(), examples=examples, policy=policy, metrics=metrics, run_id="a-run")
    assert metrics.metadata["arms_seen"] == 20
    assert metrics.metadata["condition_number"] > 1
    assert 0 < metrics.metadata["mean_reward"] < 5
    return policy


@pytest.mark.parametrize(
    ("ungated", "traffic"), [(False, {"random": 80, "v1-00000000": 20}), (True, {"v1-00000000": 100})]
)
def test_a_first_policy_answers_everybody_only_if_the_deployer_is_told_so(config, tmp_path, ungated, traffic):
    """Nothing was evaluated: there is no champion and no verdict."""
    make_policy(tmp_path / "policy")
    for _ in range(2):
        version = deploy_policy(config, artifact(dsl.Model, tmp_path / "policy"), "promote", ungated)
        assert version == "v1-00000000"
        assert connect(config).endpoint.release().traffic() == traffic


def test_components_that_need_a_loop_refuse_a_config_without_a_backend(config, tmp_path):
    config = config.to_dict()
    config.pop("backend")
    with pytest.raises(InvalidInput, match="backend: is missing; name that of the loop"):
        generator.python_func(config=config, metrics=artifact(dsl.Metrics, "metrics"))
    outputs = {name: artifact(dsl.Dataset, tmp_path / name) for name in ("examples", "held_out")}
    outputs["metrics"] = artifact(dsl.Metrics, "metrics")
    with pytest.raises(InvalidInput, match="backend: is missing; an ingester without a log needs"):
        ingester.python_func(config=config, **outputs)


def test_ingesting_as_of_a_time_leaves_out_what_was_logged_later(config, tmp_path):
    generate(config, 100)
    before = datetime.now(UTC).isoformat()
    generate(config, 100, seed=1)
    for as_of, expected in ((before, 90), ("", 180)):
        examples = artifact(dsl.Dataset, tmp_path / "examples")
        ingest(config, examples, as_of=as_of)
        assert examples.metadata["interactions"] == pytest.approx(expected, abs=15)
    with pytest.raises(InvalidInput, match="parent = 'v9-none': is not one of the endpoint's versions: random"):
        ingest(config, examples, parent="v9-none")


def test_ingesting_without_interactions_is_refused(config, tmp_path):
    with pytest.raises(InvalidInput, match="no complete interactions since the beginning"):
        ingest(config, artifact(dsl.Dataset, tmp_path))


@pytest.mark.parametrize(("seconds", "text"), [(14 * 86_400.0, "1,209,600 s"), (0.01, "0.01 s")])
def test_the_seconds_until_an_interaction_is_complete_are_written_out(tmp_path, seconds, text):
    config = make_config(tmp_path, reward={"attribution_window_seconds": seconds})
    with pytest.raises(InvalidInput, match=rf"one is complete within {text} \(reward.attribution_window_seconds\)"):
        ingest(config, artifact(dsl.Dataset, tmp_path))


def test_interactions_of_another_environment_are_refused(config, tmp_path):
    generate(config, 50)
    smaller = make_config(tmp_path, environment={"rank": 5})
    examples, metrics = artifact(dsl.Dataset, tmp_path / "examples"), artifact(dsl.Metrics, "metrics")
    with pytest.raises(InvalidInput, match=r"task\.context\.observation = {vector = 5}: the policy random"):
        ingest(smaller, examples, metrics)
    assert not (tmp_path / "examples").exists()


def test_actions_that_go_keep_their_history(tmp_path):
    """Of 20 movies 10 go: training starts anew, since the environment changed, and still learns of all 20."""
    config = make_config(tmp_path, environment={"rank": 5})
    generate(config, 300)
    deploy_trained(config, tmp_path)
    fewer_movies = make_config(tmp_path, environment={"rank": 5, "movies": 10})
    examples = artifact(dsl.Dataset, tmp_path / "more")
    ingest(fewer_movies, examples)
    assert examples.metadata["parent"] == ""
    assert examples.metadata["interactions"] == pytest.approx(270, abs=20)
    policy = SavedPolicy.load(Path(train(fewer_movies, examples, tmp_path / "fewer_movies").path))
    assert (policy.manifest.actions, policy.manifest.generation) == (20, 2)


def test_a_changed_reward_definition_restarts_training_from_the_whole_history(config, tmp_path):
    generate(config, 300)
    deploy_trained(config, tmp_path)
    changed = make_config(tmp_path, reward={"default": 1.0})
    examples = artifact(dsl.Dataset, tmp_path / "more")
    ingest(changed, examples)
    assert (examples.metadata["parent"], examples.metadata["interactions"]) == ("", pytest.approx(270, abs=20))
    deploy_policy(changed, train(changed, examples, tmp_path / "changed"))
    assert set(read_manifest(tmp_path / "changed").files) == {
        "audits.npz",
        "encoding.json",
        "statistics.npz",
        "weights.npz",
    }
    latest, _ = latest_released(connect(changed).endpoint)
    assert (latest.parent, latest.generation) == (None, 2)


def test_the_propensity_audit_continues_over_windows_and_counts_none_twice(config, tmp_path):
    generate(config, 300)
    deploy_trained(config, tmp_path)
    assert read_audits(tmp_path / "policy")["random"].count == read_manifest(tmp_path / "policy").interactions
    generate(config, 200, seed=1)
    for attempt in ("failed", "repeated"):
        examples = artifact(dsl.Dataset, tmp_path / attempt)
        ingest(config, examples)
        manifest = read_manifest(Path(train(config, examples, tmp_path / f"{attempt}-policy").path))
        assert read_audits(tmp_path / f"{attempt}-policy")["random"].count == manifest.interactions > 400


def deploy_trained(config, tmp_path):
    examples = artifact(dsl.Dataset, tmp_path / "examples")
    ingest(config, examples)
    deploy_policy(config, train(config, examples, tmp_path / "policy"))


def test_exported_components_load_with_inputs_and_description(tmp_path):
    paths = export_components(tmp_path)
    assert [path.stem for path in paths] == [
        "generator",
        "ingester",
        "trainer",
        "evaluator",
        "deployer",
        "planner",
        "accumulator",
        "merger",
        "on_policy_trainer",
        "selector",
        "tuner",
    ]
    for path in paths:
        component = kfp_components.load_component_from_file(str(path))
        assert component.component_spec.inputs["config"].type == "Dict"
        assert component.description


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    return [*compile_pipelines(folder, image=REMOTE), *compile_on_request(folder, image=REMOTE).values()]


@pytest.mark.parametrize("compile_files", [compile_pipelines, compile_on_request])
@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_pipelines_of_others_are_kept_on_request(compile_files, suffix, tmp_path):
    @dsl.pipeline(name="mine")
    def mine(config: dict):
        ingester(config=config)

    compiler.Compiler().compile(mine, str(tmp_path / f"mine.{suffix}"))
    text = (tmp_path / f"mine.{suffix}").read_text()
    written = compile_files(tmp_path)
    paths = list(written.values() if isinstance(written, dict) else written)
    texts = {path: path.read_text() for path in paths}
    for content, kept in ((text, True), ("", False), (texts[paths[0]][:1000], False)):  # half a file is our own
        paths[0].write_text(content)
        compile_files(tmp_path, keep_others=True)
        assert {path: path.read_text() for path in paths} == texts | ({paths[0]: content} if kept else {})
    paths[0].write_text(text)
    compile_files(tmp_path)
    assert {path: path.read_text() for path in paths} == texts


def test_templates_are_single_documents_pinned_to_one_image(templates):
    for path in templates:
        [spec] = yaml.safe_load_all(path.read_text())
        executors = spec["deploymentSpec"]["executors"].values()
        assert {executor["container"]["image"] for executor in executors} == {REMOTE}
        assert IMAGE not in path.read_text()
        assert "pip install" not in path.read_text()


def test_tasks_have_names_and_on_a_platform_retries_and_are_never_cached(templates, tmp_path):
    local = compile_pipelines(tmp_path)
    for path, retries in ((templates[1], {"maxRetryCount": 2}), (local[1], {})):
        spec = yaml.safe_load(path.read_text())
        dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
        tasks = {
            name: task
            for dag in dags
            for name, task in dag["tasks"].items()
            if "executorLabel" in spec["components"][task["componentRef"]["name"]]
        }
        names = {name: task["taskInfo"]["name"] for name, task in tasks.items()}
        assert names == {
            "ingester": "Export interactions",
            "trainer": "Train",
            "evaluator": "Evaluate",
            "deployer": "Deploy",
        }
        for task in tasks.values():
            assert task.get("retryPolicy", {}).items() >= retries.items()
            assert "enableCache" not in task["cachingOptions"]
        assert path.read_text().startswith("# PIPELINE DEFINITION\n# Name: banditloop-retraining\n")


def test_a_refused_compilation_leaves_no_file(tmp_path):
    for compile_ in (compile_pipelines, export_components):
        with pytest.raises(InvalidInput, match="image 'banditloop:2': name one in a registry"):
            compile_(tmp_path / "templates", image="banditloop:2")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("index", range(5))
def test_vertex_ai_accepts_the_templates_offline(templates, config, index, monkeypatch):
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    required = {0: {"interactions": 10}, 3: {"trials": [{"seed": 0, "hyperparameters": {}}]}}  # by template
    parameters = {"config": config.to_dict(), "run_id": "run-1"} | required.get(index, {})
    job = aiplatform.PipelineJob(
        display_name="banditloop",
        template_path=str(templates[index]),
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
            template_path=str(templates[index]),
            pipeline_root="gs://bucket/root",
            parameter_values={"nonsense": 1},
            project="project",
            location="europe-west1",
            credentials=AnonymousCredentials(),
        )


@pytest.mark.slow
def test_the_pipelines_run_from_their_compiled_files(templates, config, tmp_path):
    platform, startup, retraining, *_ = connect(config), *templates
    parameters = {"config": config.to_dict(), "run_id": "first"}
    platform.runner.submit(startup, parameters | {"interactions": 200}, "first")
    wait_until(lambda: platform.runner.state("first") != "running", 120)
    assert platform.runner.state("first") == "succeeded", platform.runner.explain("first")
    first, _ = latest_released(platform.endpoint)
    assert (first.generation, first.interactions, first.run) == (1, pytest.approx(180, abs=15), "first")
    assert platform.endpoint.release().role(first.version) == "canary"

    _, without_retries = compile_pipelines(tmp_path / "pipelines")  # a platform's would wait for 90 seconds
    platform.runner.submit(without_retries, parameters | {"run_id": "early"}, "early")
    wait_until(lambda: platform.runner.state("early") != "running", 120)
    assert platform.runner.state("early") == "failed"
    assert platform.runner.explain("early").startswith("ingester: InvalidInput: warehouse: no complete interactions")

    generate(config, 100, seed=5)
    platform.runner.submit(retraining, parameters | {"run_id": "second"}, "second")
    wait_until(lambda: platform.runner.state("second") != "running", 120)
    assert platform.runner.state("second") == "succeeded", platform.runner.explain("second")
    assert latest_released(platform.endpoint)[0].parent == first.version
    assert [(v.by, v.run) for v in platform.endpoint.verdicts()] == [("evaluator", "first"), ("evaluator", "second")]

    for row, manifest in zip(retraining_rows(platform), (first, latest_released(platform.endpoint)[0]), strict=True):
        assert (row["run"], row["version"]) == (manifest.run, manifest.version)
        assert row["rows"] == manifest.window.interactions
        assert 20 < row["peak_memory_mb"] < 20_000
        assert row["rows_per_second"] == pytest.approx(row["rows"] / row["seconds"], rel=0.2)
        metrics = [artifact.metadata for artifact in platform.runner.artifacts(manifest.run)]
        [trained] = [values for values in metrics if "arms_seen" in values]
        assert trained["rows"] == manifest.window.interactions
        assert trained["bytes_read"] > trained["rows"] * 20  # numbers of an observation, in a few bytes each
        assert trained["bytes_written"] > 1000
        of_tasks = [values["seconds"] for values in metrics if "seconds" in values]
        assert 0 < sum(of_tasks) < row["seconds"]
        assert 0 < trained["cpu_seconds"] < row["cpu_seconds"]


@pytest.mark.parametrize(
    "arguments",
    [
        *(["seed"], ["none=1"], ["interactions=many"], ["interactions=1.5"], ["config=1"], ["interactions=true"]),
        *(["interactions=0100"], ["interactions=12:30"], ["interactions=1_000"], ["interactions=0x10"]),
        *(["interactions=NaN"], ["config={a: 1}"], ["seed=9007199254740993"], ['config={"a": [9007199254740993]}']),
    ],
)
def test_bad_parameters_are_refused(templates, arguments):
    with pytest.raises(InvalidInput, match="parameter"):
        read_parameters(templates[0], arguments)


def test_parameters_are_converted_to_the_types_of_the_template(templates):
    arguments = ["interactions=5", "run_id=7", 'config={"a": 1}']
    assert read_parameters(templates[0], arguments) == {"interactions": 5, "run_id": "7", "config": {"a": 1}}
    assert read_parameters(templates[0], ["interactions=1e3", 'config={"a": 1e-3}']) == {
        "interactions": 1000,
        "config": {"a": 0.001},
    }
    with pytest.raises(InvalidInput, match="not a compiled pipeline"):
        read_parameters(Path(__file__), [])
