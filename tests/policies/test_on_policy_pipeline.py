"""The on-policy trainer and its pipeline: what they write, and a loop whose first policy comes from simulation."""

import json
import logging
from pathlib import Path

import pytest
import yaml
from kfp import dsl

from banditloop.components.evaluator import evaluator
from banditloop.components.on_policy_trainer import on_policy_trainer
from banditloop.pipelines.cli.watched import TRAINING, watched_training
from banditloop.pipelines.compile import compile_on_request
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.manifest import read_manifest
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.steps import export_step, simulate_step, train_step
from banditloop.rl_core.settings.on_policy import OnPolicySection
from banditloop.rl_core.testing import run_component
from banditloop.rl_core.training.on_policy import simulate
from tests.conftest import make_config
from tests.support.components import artifact, deploy_policy

pytest.importorskip("banditloop.rl_core.tf", exc_type=ImportError)

LINEAR = {"name": "linear", "dim": 3, "actions": 3, "contexts": 100}
REMOTE = f"example.com/banditloop@sha256:{0:064}"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    sections = {"environment": LINEAR, "agent": {"name": "linucb"}, "on_policy": {"training_loops": 50}}
    return make_config(tmp_path_factory.mktemp("on-policy"), **sections)


@pytest.fixture(scope="module")
def outputs(config, tmp_path_factory):
    """What the component wrote, on a loop that has begun with the random policy."""
    simulate_step(config, connect(config), 1500, seed=0)
    folder = tmp_path_factory.mktemp("outputs")
    kinds = {"policy": dsl.Model, "curve": dsl.Artifact, "report": dsl.HTML, "tensorboard": dsl.Artifact}
    written = {name: artifact(kind, folder / name) for name, kind in kinds.items()}
    written["metrics"] = artifact(dsl.Metrics, "metrics")
    on_policy_trainer.python_func(
        config=config.to_dict(),
        hyperparameters={"alpha": 2.0},
        training_loops=100,
        profile=True,
        run_id="a-run",
        **written,
    )
    return written


def test_the_component_writes_a_policy_its_curve_and_logs_of_tensorboard(outputs):
    manifest = read_manifest(Path(outputs["policy"].path))
    assert outputs["policy"].metadata == {"version": manifest.version, "interactions": 1600}
    assert (manifest.agent["alpha"], manifest.generation, manifest.parent, manifest.run) == (2.0, 1, None, "a-run")
    curve = json.loads(Path(outputs["curve"].path).read_text())
    assert len(curve["loops"]) == 100
    metrics = outputs["metrics"].metadata
    assert curve["summary"].items() <= metrics.items()
    assert metrics["rows"] == curve["loops"][-1]["interactions"] == 1600
    assert metrics["bytes_written"] > sum(map(len, map(Path.read_bytes, Path(outputs["policy"].path).glob("*.npz"))))
    assert outputs["metrics"].metadata["final_average_return"] > curve["baselines"]["best_fixed"]
    assert Path(outputs["report"].path).read_text().startswith("<!doctype html>")
    assert len(list(Path(outputs["tensorboard"].path).glob("events*"))) == 1
    page = Path(outputs["tensorboard"].metadata["page"])  # with the runs of others
    assert [*page.glob("a-run/events*")]
    assert [*page.glob("a-run/plugins/profile/*/*.xplane.pb")]


def test_the_evaluator_judges_it_by_the_whole_log_and_retraining_adds_that_log(config, outputs, tmp_path):
    platform, (policy, folder) = connect(config), (outputs["policy"], tmp_path / "examples")
    written = {name: artifact(dsl.Artifact, tmp_path / name) for name in ("evaluation", "report")}
    written["metrics"] = artifact(dsl.Metrics, "metrics")
    assert evaluator.python_func(config=config.to_dict(), policy=policy, **written) == "promote"
    evaluation = json.loads((tmp_path / "evaluation").read_text())
    assert 100 < evaluation["interactions"] < 200, "a tenth of 1,500 is held out"
    version = deploy_policy(config, policy, "promote", ungated=True)
    assert platform.endpoint.release().champion == version

    export = export_step(config, platform, None, folder, tmp_path / "held-out", {}, "", "")
    assert export.metadata["parent"] == version
    shown = []
    with watched_training(export.metrics["interactions"], lambda *done: shown.append(done)):
        trained = train_step(config, platform, folder, tmp_path / "next", export.metadata, "")
    count = export.metrics["interactions"]
    assert shown[-1] == (f"training: {count:,} rows", count, count, "rows")
    assert not logging.getLogger(TRAINING).filters
    assert trained.metadata["interactions"] == 1600 + export.metrics["interactions"] > 2900
    assert SavedPolicy.load(tmp_path / "next").manifest.generation == 2


@pytest.mark.slow
def test_it_runs_alone_as_a_task_of_a_pipeline_does(tmp_path):
    values = {"environment": LINEAR, "policy": {"saved_model": False}}
    outputs = run_component(on_policy_trainer, pipeline_root=tmp_path, config=values, training_loops=3, seed=2)
    curve = json.loads(Path(outputs["curve"].path).read_text())
    section = OnPolicySection(training_loops=3, seed=2)
    expected = simulate(Config.parse(values).model_copy(update={"on_policy": section}))
    assert curve["loops"] == [loop.row() for loop in expected.loops]


@pytest.mark.parametrize("machine_type", ["", "n1-standard-4"])
def test_the_task_that_trains_has_the_configured_accelerator(machine_type, tmp_path):
    backend = {"name": "google", "project": "a-project", "bucket": "bucket", "image": REMOTE}
    training = {"cpus": 4, "accelerator": "NVIDIA_TESLA_T4", "machine_type": machine_type}
    config = make_config(tmp_path, backend=backend, training=training)
    path = compile_on_request(tmp_path, config)["on-policy"]
    executors = yaml.safe_load(path.read_text())["deploymentSpec"]["executors"]
    resources = {name: executor["container"].get("resources") for name, executor in executors.items()}
    trainer = resources.pop("exec-on-policy-trainer")
    assert (trainer["cpuLimit"], trainer["accelerator"]["type"]) == (4.0, "NVIDIA_TESLA_T4")
    assert set(resources.values()) == {None}  # evaluator and deployer


def test_a_config_without_an_environment_is_refused(tmp_path):
    values = {"task": {"actions": 2, "context": {"age": "number"}}}
    names = "policy", "curve", "report", "tensorboard"
    written = {name: artifact(dsl.Artifact, tmp_path / name) for name in names}
    written["metrics"] = artifact(dsl.Metrics, "metrics")
    with pytest.raises(InvalidInput, match="environment: is missing"):
        on_policy_trainer.python_func(config=values, **written)
    assert not (tmp_path / "policy").exists()
