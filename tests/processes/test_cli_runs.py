"""The commands for pipeline runs and schedules."""

import json
import re
import shlex

import pytest
from kfp import compiler, dsl
from typer.testing import CliRunner

from banditloop.pipelines.cli import run_watch
from banditloop.pipelines.cli.main import app
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from tests.conftest import make_config
from tests.ports.conftest import kfp, kubeflow
from tests.support.command_line import assert_refused, banditloop
from tests.support.processes import wait_until


@pytest.mark.slow
def test_the_exit_code_of_run_is_the_outcome(tmp_path, config_file):
    banditloop("compile", "-o", tmp_path)
    succeeded = banditloop(
        "run", "start", tmp_path / "startup.yaml", "-c", config_file, "-p", "interactions=50", "--json"
    )
    assert succeeded.returncode == 0, succeeded
    content = json.loads(succeeded.stdout)
    assert (content["state"], content["decision"]) == ("succeeded", "canary")
    assert content["version"].startswith("v1-")
    shown = json.loads(banditloop("release", "show", "v1", "-c", config_file, "--json").stdout)
    assert shown["lineage"] == []
    assert shown["verdicts"][-1]["reason"] == content["verdict"]
    assert {row["estimate"] for row in shown["estimates"]} == {"candidate", "champion", "difference"}
    assert shown["report"].endswith("evaluator/report")
    failed = banditloop("run", "start", tmp_path / "retraining.yaml", "-c", config_file)
    assert failed.returncode == 1
    assert "no complete interactions since" in failed.stdout
    assert_refused(
        banditloop("run", "start", tmp_path / "startup.yaml", "-c", config_file, "-p", "interactions=x"), "interactions"
    )
    assert_refused(
        banditloop("run", "start", tmp_path / "startup.yaml", "-c", config_file, "-p", "interactions=["), "interactions"
    )
    without_interactions = banditloop(
        "run", "start", tmp_path / "startup.yaml", "-c", config_file, "-p", "interactions=0", "--json"
    )
    assert "interactions = 0: give at least 1" in json.loads(without_interactions.stdout)["reason"]
    assert_refused(banditloop("run", "submit", tmp_path / "none.yaml", "-c", config_file), "none.yaml")
    submitted = json.loads(
        banditloop("run", "submit", tmp_path / "retraining.yaml", "-c", config_file, "--json").stdout
    )
    status = json.loads(banditloop("status", "-c", config_file, "--json").stdout)
    assert submitted["run_id"] == status["runs"][-1]["run_id"]
    assert status["versions"][0]["version"] == "random"
    runs = json.loads(banditloop("run", "list", "-c", config_file, "--json").stdout)
    *ended, submitted_run = [(run["run_id"], run["state"]) for run in runs]
    assert ended == [(run["run_id"], run["state"]) for run in status["runs"][:-1]]
    assert submitted_run[0] == submitted["run_id"]  # it may have ended in between
    assert [run["started"] for run in runs] == sorted(run["started"] for run in runs)
    assert submitted["run_id"] in banditloop("run", "list", "-c", config_file).stdout


@dsl.component(base_image="registry.test/python:3", install_kfp_package=False)
def greeter(run_id: str):
    print(f"{run_id} was here")


@pytest.fixture
def greeting(tmp_path):
    @dsl.pipeline(name="greeting")
    def greet(config: dict, run_id: str = ""):
        greeter(run_id=run_id)

    compiler.Compiler().compile(greet, str(tmp_path / "greeting.yaml"))
    return tmp_path / "greeting.yaml"


@dsl.component(base_image="registry.test/python:3", install_kfp_package=False)
def waiter():
    import time

    time.sleep(600)


@pytest.fixture
def waiting(tmp_path):
    @dsl.pipeline(name="waiting")
    def wait(run_id: str):
        waiter()

    compiler.Compiler().compile(wait, str(tmp_path / "waiting.yaml"))
    return tmp_path / "waiting.yaml"


def write_config(config, path):
    path.write_text(json.dumps(config.to_dict()))
    return path


@pytest.mark.slow
def test_the_target_overrides_the_configs_runner(tmp_path, config_file, greeting):
    backend = {"name": "google", "project": "a-project", "bucket": "bucket", "image": "example.com/image:1"}
    options = ("-c", write_config(make_config(tmp_path, backend=backend), tmp_path / "google.json"))
    words = (greeting, *options, "-p", "run_id=one", "--target", "local", "--json")
    result = banditloop("run", "start", *words, XDG_STATE_HOME=str(tmp_path))  # where local runs are stored
    expected = {"run_id": "one", "state": "succeeded", "reason": "", "version": "", "decision": "", "verdict": ""}
    assert json.loads(result.stdout) == expected, result
    log = banditloop("run", "logs", "one", *options, "--target", "local", XDG_STATE_HOME=str(tmp_path))
    assert "one was here" in log.stdout
    assert_refused(
        banditloop("run", "start", greeting, *options, "--target", "kfp"), "backend.kfp_host = ''", "needs the URL"
    )
    assert_refused(
        banditloop("run", "start", greeting, "-c", config_file, "--target", "vertex"), "target = 'vertex'", "'local'"
    )
    assert banditloop("run", "start", greeting, "-c", config_file, "--target", "local").returncode == 0
    assert banditloop("run", "start", greeting, "-c", config_file, "--target", "nowhere").returncode == 2


def shown(*words):
    """The lines that a command prints, in this process."""
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result
    return result.stdout.splitlines()


def refused(*words):
    """The message with which a command refuses its input, in this process."""
    result = CliRunner().invoke(app, list(map(str, words)))
    assert isinstance(result.exception, InvalidInput), result
    return str(result.exception)


def test_a_run_is_checked_started_watched_and_listed(tmp_path, config_file, greeting):
    options = ("-c", config_file)
    (tmp_path / "values.toml").write_text("run_id = 'hello'")
    start = ("run", "start", greeting, *options, "--parameters", tmp_path / "values.toml")
    planned = json.loads("\n".join(shown(*start, "--dry-run", "--json")))
    assert (planned["run_id"], planned["parameters"]["run_id"]) == ("hello", "hello")
    assert shown(*start, "--dry-run")[0].startswith("hello would run")
    assert shown("run", "list", *options) == ["runs: none"]
    (tmp_path / "wrong.toml").write_text("nonsense = 1")
    wrong = ("run", "start", greeting, *options, "--dry-run", "--parameters")
    assert "parameter 'nonsense'" in refused(*wrong, tmp_path / "wrong.toml")
    assert "none.toml: No such file" in refused(*wrong, tmp_path / "none.toml")
    lines = shown(*start)
    assert lines[0] == "hello started"
    assert lines[1].startswith("  greeter succeeded after")
    assert lines[-1] == "hello succeeded"
    assert shown("run", "watch", "hel", *options)[-1] == "hello succeeded"
    assert any(line.startswith("greeter") for line in shown("run", "show", "h", *options))
    assert shown("run", "artifacts", "h", *options)[0].startswith("artifacts")
    assert refused("run", "cancel", "h", *options) == "run 'hello': is not running: it has succeeded"
    assert "did you mean 'hello'?" in refused("run", "show", "hallo", *options)


def test_the_command_that_a_submission_shows_watches_its_run(tmp_path, config, greeting):
    path = write_config(config, tmp_path / "my loop.json")
    words = ("run", "submit", greeting, "-c", path, "--target", "local", "-p", "run_id=copied")
    command = shlex.split(re.search("`(.*)`", "".join(shown(*words)))[1])
    assert command == ["banditloop", "run", "watch", "copied", "-c", str(path), "--target", "local"]
    assert shown(*command[1:])[-1] == "copied succeeded"


def test_ctrl_c_and_the_timeout_leave_the_run_alone(config, config_file, waiting, monkeypatch):
    options, runner = ("-c", str(config_file)), connect(config).runner
    start = ("run", "start", str(waiting), *options, "-p", "run_id=long", "--timeout", "0")
    result = CliRunner().invoke(app, start)
    assert result.exit_code == 1
    assert f"long goes on: `banditloop run watch long -c {config_file}` shows it" in result.stderr

    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_watch.time, "sleep", interrupt)
    result = CliRunner().invoke(app, ["run", "watch", "long", *options])
    monkeypatch.undo()
    assert result.exit_code == 130
    assert "long goes on" in result.stderr
    assert runner.state("long") == "running"
    assert shown("run", "cancel", "lo", *options) == ["long is being cancelled"]
    wait_until(lambda: runner.state("long") == "failed")
    assert any("cancelled" in line for line in shown("run", "list", *options))


def test_run_logs_prints_the_output_of_a_run(config_file, greeting):
    assert banditloop("run", "start", greeting, "-c", config_file, "-p", "run_id=one").returncode == 0
    assert "one was here" in banditloop("run", "logs", "one", "-c", config_file).stdout
    logs = json.loads(banditloop("run", "logs", "one", "-c", config_file, "--json").stdout)
    assert logs["run_id"] == "one"
    assert "one was here" in logs["log"]
    assert_refused(banditloop("run", "logs", "none", "-c", config_file), "run 'none': there is no such run")


@pytest.mark.slow
def test_schedules_are_created_paused_resumed_and_deleted(tmp_path, config_file, greeting):
    config = kfp(tmp_path)
    options = ("-c", write_config(config, tmp_path / "kfp.json"))
    create = ("schedule", "create", "nightly", "30 3 * * *", greeting)

    def schedules(*words):
        result = banditloop("schedule", *words, *options, "--json")
        assert result.returncode == 0, result
        return [(row["name"], row["cron"], row["state"]) for row in json.loads(result.stdout)]

    assert schedules(*create[1:]) == schedules("list") == [("nightly", "30 3 * * *", "active")]
    assert schedules("pause", "nightly") == [("nightly", "30 3 * * *", "paused")]
    assert schedules("resume", "nightly") == [("nightly", "30 3 * * *", "active")]
    assert " 03:30" in banditloop("schedule", "list", *options).stdout
    kubeflow().fire(config.backend.endpoint, "nightly")
    [run] = connect(config).runner.runs()
    wait_until(lambda: connect(config).runner.state(run.run_id) == "succeeded", 60)
    assert "greeter: SUCCEEDED" in banditloop("run", "logs", run.run_id, *options).stdout
    assert schedules("delete", "nightly") == []
    assert_refused(
        banditloop("schedule", "delete", "nightly", *options), "schedule 'nightly': there is no such schedule"
    )
    assert_refused(banditloop("schedule", "create", "a name", "30 3 * * *", greeting, *options), "schedule 'a name'")
    assert_refused(
        banditloop("schedule", "create", "nightly", "30 25 * * *", greeting, *options), "cron = '30 25 * * *'"
    )
    assert_refused(banditloop(*create, "-c", config_file), "schedule 'nightly'", "`banditloop serve` retrains here")
