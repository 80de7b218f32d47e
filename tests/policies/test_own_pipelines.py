"""Pipelines of others, composed from the exported components: own log, own features and actions, own endpoint."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from kfp import Client, compiler, dsl, local
from kfp.components import load_component_from_file

from banditloop.components.evaluator import evaluator
from banditloop.components.ingester import ingester
from banditloop.components.trainer import trainer
from banditloop.pipelines.cli.run_submit import check_submission
from banditloop.pipelines.compile import export_components
from banditloop.rl_core.agents import AGENTS
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.pipeline_specs.template import check_run, check_template
from banditloop.rl_core.policies.manifest import read_manifest
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.settings.loop import PolicySection
from banditloop.rl_core.testing import run_component
from banditloop.rl_core.training.export_file import export_file
from tests.ports.conftest import kubeflow
from tests.support.components import artifact

REMOTE = f"example.com/banditloop@sha256:{0:064}"
ACTIONS = ["football", "opera", "weather"]
NUMBERS = ("age", "visits", "minutes", "basket", "distance")
CONTEXT = {**dict.fromkeys(NUMBERS, "number"), "member": "boolean", "country": "category"}
TASK = {"task": {"actions": ACTIONS, "context": CONTEXT}, "policy": {"saved_model": False}}
COLUMNS = {"action": "banner", "reward": "clicked", "propensity": "probability", "timestamp": "shown_at"}


def visits(rows: int, day: int = 1, seed: int = 0) -> pa.Table:
    """A log of banners drawn uniformly: the young click on the first, the old on the last."""
    random = np.random.default_rng(seed)
    numbers, banner = random.random((len(NUMBERS), rows)), random.integers(3, size=rows)
    columns = dict(zip(NUMBERS, numbers, strict=True))
    columns |= {"member": random.random(rows) < 0.3, "country": random.choice(["de", "fr"], rows)}
    columns |= {"banner": np.array(ACTIONS)[banner], "probability": np.full(rows, 1 / 3)}
    columns |= {"clicked": random.random(rows) < 0.1 + 0.6 * (banner == (3 * numbers[0]).astype(int))}
    return pa.table(columns | {"shown_at": [f"2026-03-{day:02d}T{row % 24:02d}:00:00Z" for row in range(rows)]})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The components as strangers get them: YAML files."""
    return export_components(tmp_path_factory.mktemp("components"), image=REMOTE)


@pytest.fixture(scope="module")
def exported(files):
    """The components that they load."""
    return {path.stem: load_component_from_file(str(path)) for path in files}


@pytest.fixture(scope="module")
def template(exported, tmp_path_factory):
    """A stranger's pipeline, compiled by KFP's own compiler."""

    @dsl.pipeline(name="banners")
    def banners(log: str, config: dict, columns: dict):
        rows = dsl.importer(artifact_uri=log, artifact_class=dsl.Dataset).output
        ingested = exported["ingester"](config=config, log=rows, columns=columns)
        trained = exported["trainer"](config=config, examples=ingested.outputs["examples"], alpha=0.1)
        held_out = {"log": ingested.outputs["held_out"], "columns": columns, "config": config}
        evaluated = exported["evaluator"](policy=trained.outputs["policy"], **held_out)
        with dsl.If(evaluated.outputs["Output"] != "refuse"):
            exported["deployer"](config=config, policy=trained.outputs["policy"])

    path = tmp_path_factory.mktemp("pipeline") / "banners.yaml"
    compiler.Compiler().compile(banners, str(path))
    return path


@pytest.mark.slow
def test_a_pipeline_of_exported_components_that_runs_on_kubeflow_learns_from_a_log_of_its_own(template, tmp_path):
    """Submitted by KFP's own client to the stand-in, which runs it with kfp.local."""
    pq.write_table(visits(3000), tmp_path / "log.parquet")
    config = TASK | {"backend": {"name": "local", "root": str(tmp_path / "loop"), "endpoint": "banners"}}
    platform, parameters = connect(Config.parse(config)), {"config": config, "columns": COLUMNS}
    parameters["log"] = str(tmp_path / "log.parquet")
    client = Client(host=kubeflow().address)
    run = client.create_run_from_pipeline_package(
        str(template), arguments=parameters, run_name="first", experiment_name="banners", enable_caching=False
    )
    ended = client.wait_for_run_completion(run.run_id, timeout=300, sleep_duration=1)
    assert ended.state == "SUCCEEDED", ended.run_details
    release = platform.endpoint.release()
    assert release.traffic() == {"random": 80, release.challenger: 20}  # compared with the log, but with no champion
    policy = SavedPolicy.load(platform.endpoint.policy(release.challenger))
    young, old = (dict.fromkeys(NUMBERS, 0.5) | {"age": age, "member": True, "country": "de"} for age in (0.1, 0.9))
    best = policy.greedy_probabilities(policy.observations([young, old])).argmax(axis=1)
    assert [policy.encoding.action_ids[action] for action in best] == ["football", "weather"]
    assert platform.endpoint.verdicts() == []
    assert platform.endpoint.resources(release.challenger) == {}


def test_it_compiles_for_vertex_ai_and_kubeflow(template):
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    check_template(template, remote=True)
    where = {"project": "project", "location": "europe-west1", "credentials": AnonymousCredentials()}
    parameters = {"log": "gs://bucket/log.parquet", "config": TASK, "columns": COLUMNS}
    job = aiplatform.PipelineJob(
        "banners", template_path=str(template), pipeline_root="gs://bucket/root", parameter_values=parameters, **where
    )
    tasks = job.to_dict()["pipelineSpec"]["root"]["dag"]["tasks"]
    assert tasks["ingester"]["inputs"]["artifacts"]["log"]["taskOutputArtifact"]["producerTask"] == "importer"


def test_logs_are_read_by_their_content_since_artifacts_have_no_suffix(tmp_path):
    config, log, exports = Config.parse(TASK), visits(600), []
    pq.write_table(log, tmp_path / "parquet")
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "part-0").write_text("\n".join(map(json.dumps, log.to_pylist())))
    for name in ("parquet", "lines"):
        folders = tmp_path / f"{name}-examples", tmp_path / f"{name}-held-out"
        exports.append(export_file(config, tmp_path / name, COLUMNS, *folders))
        assert exports[-1].metrics["interactions"] + pq.read_table(folders[1]).num_rows == 600
    assert exports[0] == exports[1]
    assert exports[0].metadata["until"] == "2026-03-01T23:00:00Z"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"action": "banners"}, "mapping action=banners: the log has no such column; did you mean 'banner'"),
        ({"age": "years"}, "the log has no such column"),
        ({"nonsense": "banner"}, "is neither a field of decisions nor a feature"),
        ({"action": "clicked"}, "row 1: clicked = '(true|false)': is none of the actions football, opera, weather"),
    ],
)
def test_a_log_that_does_not_fit_is_refused_and_nothing_is_written(tmp_path, columns, message):
    pyarrow.csv.write_csv(visits(50), tmp_path / "log.csv")
    folders = tmp_path / "examples", tmp_path / "held-out"
    with pytest.raises(InvalidInput, match=message):
        export_file(Config.parse(TASK), tmp_path / "log.csv", COLUMNS | columns, *folders)
    more = TASK | {"task": TASK["task"] | {"context": CONTEXT | {"size": "number"}}}
    with pytest.raises(InvalidInput, match="no column has the feature 'size'"):
        export_file(Config.parse(more), tmp_path / "log.csv", COLUMNS, *folders)
    assert not folders[1].exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What ingester and trainer alone make of a log, called in this process: a policy of no loop."""
    folder = tmp_path_factory.mktemp("alone")
    pyarrow.csv.write_csv(visits(2000), folder / "log.csv")
    names = {"examples": dsl.Dataset, "held_out": dsl.Dataset, "policy": dsl.Model, "metrics": dsl.Metrics}
    given = {name: artifact(kind, folder / name) for name, kind in names.items()}
    examples, log = (
        {key: given[key] for key in ("examples", "held_out", "metrics")},
        artifact(dsl.Dataset, folder / "log.csv"),
    )
    ingester.python_func(config=TASK, log=log, columns=COLUMNS, **examples)
    assert given["metrics"].metadata["interactions"] == pytest.approx(1800, abs=60)
    train(given["examples"], given["policy"])
    return given


def train(examples, policy, **inputs):
    metrics = artifact(dsl.Metrics, "metrics")
    trainer.python_func(config=TASK, examples=examples, policy=policy, metrics=metrics, **inputs)
    return read_manifest(Path(policy.path))


def test_examples_without_metadata_train_the_same_model(trained, tmp_path):
    """As those of somebody else's component."""
    bare, policy = artifact(dsl.Dataset, trained["examples"].path), artifact(dsl.Model, tmp_path / "policy")
    manifest = train(bare, policy)
    known = SavedPolicy.load(Path(trained["policy"].path))
    assert (manifest.parent, manifest.generation, manifest.interactions) == (None, 1, known.manifest.interactions)
    assert manifest.version != known.manifest.version  # a digest of the files, instead of one of the log
    np.testing.assert_array_equal(SavedPolicy.load(tmp_path / "policy").model.weights, known.model.weights)


def test_hyperparameters_beside_the_config_reach_the_policy(trained, tmp_path):
    policy = artifact(dsl.Model, tmp_path / "policy")
    given = {"agent": "linucb", "exploration": 0.3, "alpha": 0.25, "l2": 2.0}
    manifest = train(trained["examples"], policy, **given)
    assert (manifest.exploration, manifest.agent) == (0.3, {"name": "linucb", "alpha": 0.25, "l2": 2.0})
    for inputs in ({"agent": "neural_epsilon_greedy", "alpha": 1.0}, {"hyperparameters": {"beta": 1.0}}):
        with pytest.raises(InvalidInput, match=r"agent\.(alpha|beta) = 1"):
            train(trained["examples"], policy, **inputs)


def test_the_described_hyperparameters_are_those_of_the_agents_and_their_defaults():
    described = trainer.component_spec.inputs
    for name, kinds in {"alpha": ["linear_thompson", "linucb"], "l2": ["linucb"]}.items():
        text = described[name].description
        assert text.startswith(f"Of {' and '.join(kinds)}, ")
        defaults = " and ".join(f"{AGENTS[kind].model_fields[name].default:g}" for kind in kinds)
        assert text.endswith(f"or {defaults}.")
    assert described["agent"].description.endswith(f"or {Config.model_fields['agent'].default.name}.")
    exploration = PolicySection.model_fields["exploration"]
    assert described["exploration"].description.endswith(f"or {exploration.default:g}.")


def test_examples_that_continue_a_loops_policy_are_refused_without_the_loop(trained, tmp_path):
    examples = artifact(dsl.Dataset, trained["examples"].path)
    examples.metadata |= {"parent": "v3-0a1b2c3d"}
    with pytest.raises(InvalidInput, match="continue the policy v3-0a1b2c3d; give the config the backend of its loop"):
        train(examples, artifact(dsl.Model, tmp_path / "policy"))
    assert not (tmp_path / "policy").exists()


def test_the_evaluator_alone_judges_by_a_csv_file(trained, exported, tmp_path, monkeypatch):
    """Under kfp.local, in three lines: a component, a path and an artifact."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    pyarrow.csv.write_csv(visits(2000, seed=1), tmp_path / "later.csv")
    inputs = {"config": TASK, "columns": COLUMNS, "policy": trained["policy"], "log": tmp_path / "later.csv"}
    outputs = run_component(exported["evaluator"], pipeline_root=tmp_path, **inputs)
    assert outputs["Output"] == "promote"
    metrics = outputs["metrics"].metadata
    assert metrics["champion_dr"] == pytest.approx(0.3, abs=0.04)  # what the log earned
    assert metrics["candidate_dr"] > 0.45
    assert metrics["held_out_interactions"] == metrics["rows"] == 2000
    assert metrics["rows_per_second"] == pytest.approx(2000 / metrics["seconds"], rel=0.01)
    assert 20 < metrics["peak_memory_mb"] < 10_000
    assert metrics["bytes_read"] > (tmp_path / "later.csv").stat().st_size  # and the policy
    assert metrics["bytes_written"] >= Path(outputs["report"].path).stat().st_size
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_baseline_is_compared_with_on_the_log(trained, tmp_path):
    outputs = {name: artifact(dsl.Artifact, tmp_path / name) for name in ("evaluation", "report")}
    metrics = artifact(dsl.Metrics, "metrics")
    log = {"log": trained["held_out"], "columns": COLUMNS, "least_propensity": 0.3}
    decision = evaluator.python_func(
        config=TASK, policy=trained["policy"], baseline=trained["policy"], metrics=metrics, **log, **outputs
    )
    assert (decision, metrics.metadata["difference"]) == ("canary", 0)
    assert (tmp_path / "report").read_text().startswith("<!")


@pytest.mark.parametrize("name", ["examples", "nonsense"])
def test_a_component_run_alone_names_what_is_missing_or_unknown(name, tmp_path):
    inputs = {"config": TASK, "examples": tmp_path}
    inputs = {"config": TASK} if name == "examples" else inputs | {name: 1}
    with pytest.raises(
        InvalidInput, match=f"trainer: (the input {name!r} is missing; give a path|has no input {name!r})"
    ):
        run_component(trainer, **inputs)


def test_commands_fill_in_config_and_run_id_only_where_a_pipeline_declares_them(template, config, tmp_path):
    arguments = ["log=gs://bucket/log", "columns={}"]
    submission = check_submission(config, template, None, arguments)
    assert submission.parameters == {"log": "gs://bucket/log", "columns": {}, "config": config.to_dict()}
    assert submission.run_id.startswith("banners-")
    with pytest.raises(InvalidInput, match=r"parameter 'log': is missing; banners\.yaml needs it"):
        check_submission(config, template, None, arguments[1:])


def test_a_run_without_its_artifacts_is_refused_before_it_starts(exported, tmp_path):
    path = tmp_path / "trainer.yaml"
    compiler.Compiler().compile(exported["trainer"], str(path))
    with pytest.raises(InvalidInput, match=r"artifact 'examples': is missing; trainer\.yaml needs it"):
        check_run(path, {"config": TASK})


@pytest.mark.slow
def test_a_recurring_pipeline_gets_new_rows_though_its_tasks_are_cached(exported, tmp_path):
    log = tmp_path / "log.parquet"

    @dsl.pipeline(name="recurring")
    def recurring(as_of: str) -> dsl.Metrics:
        rows = dsl.importer(artifact_uri=str(log), artifact_class=dsl.Dataset).output
        return exported["ingester"](config=TASK, log=rows, columns=COLUMNS, as_of=as_of).outputs["metrics"]

    def interactions(as_of):
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "runs"), enable_caching=True)
        metrics = recurring(as_of=as_of).output
        Path(metrics.path).touch()  # of artifacts that are no file, kfp.local's cache keeps nothing, others' does
        return metrics.metadata["interactions"]

    pq.write_table(visits(500), log)
    first = interactions("2026-03-02")
    pq.write_table(pa.concat_tables([visits(500), visits(400, day=2, seed=1)]), log)
    assert interactions("2026-03-02") == first  # cached
    assert interactions("2026-03-03") > first + 300


def test_every_input_and_output_is_described_in_one_line_and_the_header_lists_them(files):
    for path in files:
        name = path.stem.replace("_", "-")  # as KFP does
        spec = yaml.safe_load(path.read_text())["components"][f"comp-{name}"]
        header = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert header[:2] == ["# PIPELINE DEFINITION", f"# Name: {name}"]
        for group in ("inputDefinitions", "outputDefinitions"):
            for key, item in {**spec[group].get("parameters", {}), **spec[group].get("artifacts", {})}.items():
                assert item["description"] and "\n" not in item["description"], key
                assert any(line.startswith(f"#    {key}: ") for line in header), key
