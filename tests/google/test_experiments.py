"""The pipeline of experiments on Vertex AI's and Kubeflow's stand-ins: trials side by side, the best is deployed."""

import json
from pathlib import Path

import pytest

from banditloop.pipelines.compile import compile_on_request
from banditloop.rl_core.backends import connect
from banditloop.rl_core.promotion.current import latest_released
from banditloop.rl_core.promotion.steps import simulate_step
from tests.conftest import make_config
from tests.ports.conftest import google, kfp
from tests.support.containers import IMAGE
from tests.support.processes import wait_until

PLAYED = {"training_loops": 2, "steps_per_loop": 1, "batch_size": 20}
TRIALS = [{"seed": seed, "hyperparameters": {"learning_rate": rate}} for seed, rate in ((0, 0.01), (1, 0.1))]


@pytest.fixture
def template(tmp_path):
    template = compile_on_request(tmp_path / "pipelines", image=IMAGE)["experiments"]
    return template


def test_trials_run_side_by_side_and_the_best_policy_is_deployed(template, tmp_path):
    """The tasks' loop is a local one; Vertex AI's stand-in runs them."""
    episodes = {"environment": {"name": "cartpole"}, "agent": {"name": "ppo"}, "on_policy": PLAYED}
    config, runner = make_config(tmp_path / "loop", **episodes), connect(google(tmp_path)).runner
    simulate_step(config, connect(config), 500, 0)
    runner.submit(template, {"config": config.to_dict(), "trials": TRIALS, "run_id": "a-run", "episodes": 50}, "a-run")
    wait_until(lambda: runner.state("a-run") != "running", 300)
    assert runner.state("a-run") == "succeeded", runner.explain("a-run")
    [comparison] = [artifact.uri for artifact in runner.artifacts("a-run") if artifact.name == "comparison"]
    rows = json.loads(Path(comparison).read_text())["policies"]
    assert {(row["seed"], row["hyperparameters"]["learning_rate"]) for row in rows} == {(0, 0.01), (1, 0.1)}
    deployed, _ = latest_released(connect(config).endpoint)
    assert (deployed.version, deployed.run) == (rows[0]["version"], "a-run")


def test_kubeflow_pipelines_accepts_it(template, tmp_path):
    runner = connect(kfp(tmp_path)).runner
    runner.submit(template, {"config": {}, "trials": TRIALS}, "a-run")
    runner.cancel("a-run")
    wait_until(lambda: runner.state("a-run") == "failed")
