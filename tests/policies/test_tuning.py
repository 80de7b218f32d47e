"""Tuning on one machine: the search, its resumption, the test of the best settings, and what is saved."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from kfp import dsl
from typer.testing import CliRunner

from banditloop.components.tuner import tuner
from banditloop.pipelines.cli.main import app
from banditloop.pipelines.compile import compile_on_request
from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import Trial
from banditloop.rl_core.promotion.steps import simulate_step
from banditloop.rl_core.tuning.attempt import attempt
from banditloop.rl_core.tuning.objective import Source, objective_of
from banditloop.rl_core.tuning.simulation import simulated_reward
from banditloop.rl_core.tuning.study import present_parameters, search
from banditloop.rl_core.tuning.trials import tried
from banditloop.rl_core.tuning.tune import tune
from tests.conftest import make_config
from tests.support.components import artifact
from tests.support.processes import wait_until

ALPHA = {"alpha": {"low": 0.05, "high": 50, "log": True}}
TWO_AGENTS = {"name": {"values": ["linucb", "neural_epsilon_greedy"]}, "hidden_units": {"low": 4, "high": 8}}
LINEAR = {"name": "linear", "dim": 3, "actions": 3}


def tuning_config(folder, agent=ALPHA, environment=LINEAR, policy=(), **settings):
    space = {"agent": dict(agent), "policy": dict(policy)}
    settings = {"objective": "simulation", "interactions": 40, "trials": 4, "seeds": 2, "test_seeds": 4} | settings
    alpha = {"name": "linucb", "alpha": 20.0}
    return make_config(folder, environment=environment, agent=alpha, tuning={"search_space": space} | settings)


def closeness(parameters, seed):
    """The value of settings in a search whose best alpha is 1."""
    return -abs(parameters["agent.alpha"] - 1) + seed / 10


def test_the_search_begins_with_the_present_settings_and_finds_better_ones(tmp_path):
    config = tuning_config(tmp_path, trials=15, pruning="none")
    first, *others = search(config, closeness, tmp_path)
    assert (first.parameters, first.value) == ({"agent.alpha": 20.0}, pytest.approx(-18.95))
    assert first.standard_error == pytest.approx(0.05)
    assert min(abs(trial.parameters["agent.alpha"] - 1) for trial in others) < 0.2
    assert search(config, closeness, tmp_path) == [first, *others]  # there is nothing left to try


def test_a_lock_that_times_out_in_a_tuning_is_no_other_tuning(tmp_path):
    with FileLock(tmp_path / "other.lock"), pytest.raises(Timeout), attempt(tmp_path / "attempt", Source()):
        FileLock(tmp_path / "other.lock").acquire(timeout=0)
    with attempt(tmp_path / "attempt", Source("log.csv")) as source:  # goes on
        assert source == Source()
        with pytest.raises(InvalidInput, match="another process"), attempt(tmp_path / "attempt", Source()):
            pass


@pytest.mark.parametrize(("option", "number"), [("trials", 10_001), ("parallel", 1_001)])
def test_an_option_beyond_the_limits_of_its_key_is_refused(tmp_path, option, number):
    (tmp_path / "loop.json").write_text(json.dumps(tuning_config(tmp_path).to_dict()))
    words = ["tune", "-c", str(tmp_path / "loop.json"), f"--{option}", str(number), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, InvalidInput), result
    assert str(result.exception).startswith(f"tuning.{option} = {number}: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pruning", ["median", "hyperband"])
def test_bad_trials_end_early(tmp_path, pruning):
    trials = search(tuning_config(tmp_path, trials=10, seeds=4, pruning=pruning), closeness, tmp_path)
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned and all(trial.seeds < 4 for trial in pruned)
    assert all(trial.seeds == 4 for trial in trials if trial.state == "complete")


def test_settings_depend_on_the_agent(tmp_path):
    config = tuning_config(tmp_path, ALPHA | TWO_AGENTS, trials=12, pruning="none")
    trials = search(config, lambda parameters, seed: 0.0, tmp_path)
    own = {"linucb": "agent.alpha", "neural_epsilon_greedy": "agent.hidden_units"}
    assert {trial.parameters["agent.name"] for trial in trials} == own.keys()
    for trial in trials:
        assert trial.parameters.keys() == {"agent.name", own[trial.parameters["agent.name"]]}
        assert isinstance(trial.parameters.get("agent.hidden_units", 4), int)


def test_another_agent_explores_as_much_as_it_needs_unless_the_config_says_how_much(tmp_path):
    config = tuning_config(tmp_path)
    other = {"agent.name": "linear_thompson"}
    assert tried(config, other).policy.exploration == LinearThompson.EXPLORATION != config.policy.exploration
    assert tried(config, other | {"policy.exploration": 0.3}).policy.exploration == 0.3
    stated = Config.parse(config.to_dict() | {"policy": {"exploration": 0.2}})
    assert tried(stated, other).policy.exploration == 0.2
    assert tried(config, {"agent.alpha": 2.0}).policy == config.policy


def test_present_settings_outside_the_search_space_are_no_trial(tmp_path):
    assert present_parameters(tuning_config(tmp_path)) == {"agent.alpha": 20.0}
    assert present_parameters(tuning_config(tmp_path, {"alpha": {"low": 1, "high": 2}})) == {}


def test_settings_that_cannot_be_trained_are_left_out(tmp_path):
    def refuse_large(parameters, seed):
        if parameters["agent.alpha"] > 1:
            raise InvalidInput("agent: diverges")
        return closeness(parameters, seed)

    trials = search(tuning_config(tmp_path, trials=8), refuse_large, tmp_path)
    assert len(trials) == 8
    for trial in trials:
        assert (trial.state == "failed") == (trial.parameters["agent.alpha"] > 1) == (trial.value is None)


TUNE = """
import json, sys
from pathlib import Path
from banditloop.rl_core.config import Config
from banditloop.pipelines.cli.main import app
from banditloop.pipelines.compile import compile_on_request
from banditloop.rl_core.backends import connect
from banditloop.rl_core.tuning.tune import tune
config = Config.parse(json.loads(sys.argv[1]))
print(json.dumps(tune(config, connect(config), Path(sys.argv[2]), on_trial=lambda trial: print(trial, flush=True))))
"""


@pytest.mark.slow
def test_a_tuning_that_was_killed_goes_on_where_it_ended(tmp_path):
    """Two trials at a time, in processes that end with the one that is killed."""
    config, folder = tuning_config(tmp_path, trials=10_000, parallel=2, pruning="none"), tmp_path / "attempts"
    command = [sys.executable, "-c", TUNE, json.dumps(config.to_dict()), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("Trial(")
        with pytest.raises(InvalidInput, match="another process is trying these settings"):
            tune(config, connect(config), folder)
        process.kill()
        ended = 1 + sum(line.startswith("Trial(") for line in process.stdout)
    more: list[Trial] = []
    settings = config.tuning.model_copy(update={"trials": ended + 3, "parallel": 1})
    summary = tune(config.model_copy(update={"tuning": settings}), connect(config), folder, on_trial=more.append)
    assert len(summary["trials"]) >= ended + 3 and 1 <= len(more) <= 3
    assert not list(folder.glob("*/"))  # nothing is left to go on with


def test_better_settings_are_saved_and_a_second_tuning_begins_with_them(tmp_path):
    config = tuning_config(tmp_path, trials=6, interactions=100, policy={"exploration": {"low": 0.01, "high": 0.05}})
    platform = connect(config)
    summary = tune(config, platform, tmp_path, run_id="run-1")
    assert summary["better"] and summary["comparison"]["difference"]["low"] > 0
    tuned = platform.endpoint.tuned()
    assert (tuned.agent["alpha"], tuned.run) == (summary["best"]["agent.alpha"], "run-1")
    assert tuned.policy == {"exploration": summary["best"]["policy.exploration"]}
    again = tune(config, platform, tmp_path)
    [first] = [trial for trial in again["trials"] if trial["number"] == 0]
    assert first["parameters"] == summary["best"]


def test_settings_that_are_not_better_are_not_used(tmp_path):
    """An agent whose alpha makes no difference, since there is nothing to earn."""
    config = tuning_config(tmp_path, {"l2": {"values": [1.0, 1.0001]}})
    platform = connect(config)
    summary = tune(config, platform, tmp_path)
    assert not summary["better"] and summary["settings"] is None
    assert platform.endpoint.tuned() is None
    assert "stay" in summary["finding"]


def test_on_a_log_the_value_is_that_of_the_rewards(tmp_path):
    """In units of the reward, and below what the best action for each context earns."""
    config = tuning_config(tmp_path, objective="log", seeds=3)
    platform = connect(config)
    with pytest.raises(InvalidInput, match="no interactions logged yet"):
        tune(config, platform, tmp_path)
    simulate_step(config, platform, 400, seed=0)
    objective = objective_of(config, platform, Source())
    values = [objective.value(config, fold) for fold in range(3)]
    oracle = config.environment.expected_rewards().max(axis=1).mean()
    assert all(oracle / 2 < value < 1.2 * oracle for value in values)
    other = Config.parse(config.to_dict() | {"agent": {"name": "linucb", "l2": 1e6, "alpha": 0.0}})
    compared = objective.compare(config, other)
    assert compared.difference.low < compared.difference.value < compared.difference.high
    assert compared.difference.value == pytest.approx(compared.best.value - compared.present.value, abs=0.2)
    with pytest.raises(InvalidInput, match=r"interactions to learn from; tuning by it needs 2,000"):
        objective_of(tuning_config(tmp_path, objective="log", seeds=100), platform, Source())


DRIFTING = {"name": "drifting", "period": 20}
DELAYED = {"name": "delayed", "environment": {"name": "delayed", "environment": DRIFTING}}


@pytest.mark.parametrize("environment", [{"name": "linear"}, {"name": "sparse_clicks"}, DRIFTING, DELAYED])
def test_a_simulated_loop_is_a_function_of_its_seed(tmp_path, environment):
    config = tuning_config(tmp_path, environment=environment)
    assert simulated_reward(config, 1) == simulated_reward(config, 1) != simulated_reward(config, 2)


def test_the_component_writes_parameters_and_a_page(tmp_path):
    config = tuning_config(tmp_path, trials=3)
    outputs = {
        name: artifact(kind, tmp_path / name) for name, kind in (("parameters", dsl.Artifact), ("report", dsl.HTML))
    }
    metrics = artifact(dsl.Metrics, "metrics")
    decision = tuner.python_func(config=config.to_dict(), metrics=metrics, run_id="run", **outputs)
    written = json.loads(Path(outputs["parameters"].path).read_text())
    assert decision == ("better" if written["better"] else "keep")
    assert metrics.metadata["trials"] == len(written["trials"]) == 3
    assert written["finding"] in Path(outputs["report"].path).read_text()


def test_the_component_tunes_on_a_log_in_a_file_without_a_loop(tmp_path):
    rows = [{"action": f"a{row % 2}", "reward": row % 2, "propensity": 0.5, "x": row % 7} for row in range(240)]
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(map(json.dumps, rows)))
    space = {"agent": {"l2": {"values": [1.0, 10.0]}}}
    config = {"task": {"actions": ["a0", "a1"], "context": {"x": "number"}}, "agent": {"name": "linucb"}}
    config["tuning"] = {"trials": 2, "seeds": 2, "search_space": space}
    outputs = {
        name: artifact(kind, tmp_path / name) for name, kind in (("parameters", dsl.Artifact), ("report", dsl.HTML))
    }
    metrics = artifact(dsl.Metrics, "metrics")
    decision = tuner.python_func(config=config, metrics=metrics, log=artifact(dsl.Dataset, log), **outputs)
    written = json.loads(Path(outputs["parameters"].path).read_text())
    assert decision == "keep"  # always a1, whatever the ridge
    assert written["trials"][0]["value"] == pytest.approx(1, abs=0.1)
    assert not list(tmp_path.glob("loop*"))


@pytest.mark.slow
def test_the_pipeline_retrains_with_better_settings(tmp_path):
    config = tuning_config(tmp_path, trials=6, interactions=100)
    platform = connect(config)
    simulate_step(config, platform, 300, seed=0)
    template = compile_on_request(tmp_path / "pipelines")["tuning"]
    platform.runner.submit(template, {"config": config.to_dict(), "run_id": "tuning-1"}, "tuning-1")
    wait_until(lambda: platform.runner.state("tuning-1") != "running", 600)
    assert platform.runner.state("tuning-1") == "succeeded", platform.runner.log("tuning-1")
    assert [task.name for task in platform.runner.tasks("tuning-1")][:3] == ["tuner", "ingester", "trainer"]
    trained = platform.endpoint.versions()[-1]
    assert trained.agent == platform.endpoint.tuned().agent != config.agent.model_dump(mode="json")
    assert (trained.run, platform.endpoint.tuned().run) == ("tuning-1", "tuning-1")
