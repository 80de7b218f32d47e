"""The command line: its help, its exit codes, one line for a user's mistake, JSON for scripts."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from kfp import compiler, dsl

from functions.logger import log_events
from functions.simulator import Visit, simulate
from pipelines.cli import app
from pipelines.services import services
from rl_core.backends import connect, newest
from rl_core.config import ENVIRONMENT_VARIABLE, Config
from tests.conftest import decisions, deploy, make_config, make_policy, rewards
from tests.ports.conftest import kfp, kubeflow
from tests.processes import process, wait_until

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def banditloop(*words, cwd=None, **environment):
    variables = {k: v for k, v in os.environ.items() if k != ENVIRONMENT_VARIABLE} | environment
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=variables,
        timeout=300,
    )


@pytest.fixture
def config_file(config, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict()))
    return path


def test_the_commands_are_these():
    looking, moving = ["status", "inspect", "versions", "report"], ["promote", "rollback", "traffic"]
    building, running = ["compile", "export-components"], ["submit", "run", "logs", "schedule", "loop", "serve"]
    assert sorted([*looking, *moving, *building, *running, "cloud", "dead-letters", "import"]) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command):
    result = banditloop(command, "--help")
    assert result.returncode == 0
    assert f"banditloop {command}" in result.stdout.split("Example:")[1]
    assert result.stderr == ""


def refused(result, *parts):
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[agent]\nname = 'linucb'\nalhpa = 1\n[environment]\nname = 'movielens'", "agent.alhpa = 1"),
        ("[agent]\nname = 'linucb'\nalpha = 'big'\n[environment]\nname = 'movielens'", "agent.alpha = 'big'"),
        ("[agent]\nname = 'linucb'\ntikhonov = 0\n[environment]\nname = 'movielens'", "agent.tikhonov = 0"),
        ("[agent", "config"),
    ],
)
@pytest.mark.parametrize("command", ["loop", "status"])
def test_a_bad_config_is_one_line_and_2(tmp_path, command, text, part):
    (tmp_path / "bad.toml").write_text(text)
    refused(banditloop(command, "-c", tmp_path / "bad.toml", cwd=tmp_path), part)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]  # nothing half-written


def test_a_config_that_is_not_there_is_one_line_and_2(tmp_path):
    refused(banditloop("status", "-c", "none.toml", cwd=tmp_path), "none.toml", "No such file")
    refused(banditloop("status", cwd=tmp_path, **{ENVIRONMENT_VARIABLE: '{"a": 1}'}), "environment.name")


def test_missing_ratings_are_one_line_and_2_before_anything_starts(tmp_path, config):
    values = config.to_dict()
    values["environment"]["ratings"] = str(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text(json.dumps(values))
    result = banditloop("loop", "-c", tmp_path / "config.json", cwd=tmp_path)
    refused(result, "nowhere", "'download'", "pip install")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_corrupt_policy_directory_is_one_line_and_2(tmp_path):
    make_policy(tmp_path / "policy")
    assert "v1-00000000" in banditloop("inspect", tmp_path / "policy").stdout
    (tmp_path / "policy" / "weights.npz").write_bytes(b"PK")
    refused(banditloop("inspect", tmp_path / "policy"), "weights.npz", "checksum")
    refused(banditloop("inspect", tmp_path), "not a policy directory")


def test_what_typer_refuses_is_2():
    assert banditloop("nonsense").returncode == 2
    assert banditloop("loop", "--rounds", "0").returncode == 2


def test_files_that_are_not_text_or_not_folders_are_2(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    refused(banditloop("status", "-c", tmp_path / "bytes"), "bytes")
    refused(banditloop("run", tmp_path / "bytes"), "not a compiled pipeline")
    assert banditloop("compile", "-o", tmp_path / "bytes").returncode == 2


@pytest.mark.parametrize("part", ["predictor", "logger"])
def test_a_service_says_in_one_line_what_is_wrong_and_exits_with_2(part, config, tmp_path):
    def start(values):
        environment = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(values)}
        return subprocess.run(
            [sys.executable, "-m", f"functions.{part}"], capture_output=True, text=True, env=environment
        )

    refused(start(config.to_dict() | {"nonsense": 1}), "nonsense = 1")
    if part == "predictor":
        with socket.create_server(("127.0.0.1", 0)) as taken:
            backend = config.to_dict()["backend"] | {"port": taken.getsockname()[1]}
            refused(start(config.to_dict() | {"backend": backend}), "Address already in use")


def test_a_root_that_cannot_hold_a_warehouse_is_2(tmp_path, config):
    values = config.to_dict()
    values["backend"]["root"] = str(tmp_path / "50%")
    (tmp_path / "config.json").write_text(json.dumps(values))
    refused(banditloop("status", "-c", tmp_path / "config.json"), "a path with % cannot hold")


def test_serve_and_loop_stop_with_2_when_the_port_is_taken(config, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        backend = config.to_dict()["backend"] | {"port": taken.getsockname()[1]}
        (tmp_path / "config.json").write_text(json.dumps(config.to_dict() | {"backend": backend}))
        for command in ("serve", "loop"):
            result = banditloop(
                command,
                "-c",
                tmp_path / "config.json",
                "-o" if command == "loop" else "-c",
                *([tmp_path / "out"] if command == "loop" else [tmp_path / "config.json"]),
            )
            assert result.returncode == 2, result
            assert "Address already in use" in result.stderr
            assert "Traceback" not in result.stderr


def test_one_loop_at_a_time_runs_in_a_root(config, config_file, tmp_path):
    with services(config):
        refused(banditloop("loop", "-c", config_file, "-o", tmp_path / "out"), "another loop or serve runs there")


def test_compile_and_export_write_files_and_say_which(tmp_path):
    written = json.loads(banditloop("compile", "-o", tmp_path / "p", "--image", "example.com/y:1", "--json").stdout)
    assert [Path(path).name for path in written] == ["startup.yaml", "retraining.yaml"]
    assert "example.com/y:1" in (tmp_path / "p" / "startup.yaml").read_text()
    shown = banditloop("export-components", "-o", tmp_path / "c").stdout
    assert shown.count("wrote ") == 5
    assert len(list((tmp_path / "c").glob("*.yaml"))) == 5


def test_run_exits_by_the_runs_outcome(tmp_path, config_file):
    banditloop("compile", "-o", tmp_path)
    good = banditloop("run", tmp_path / "startup.yaml", "-c", config_file, "-p", "interactions=50", "--json")
    assert good.returncode == 0, good
    assert json.loads(good.stdout)["state"] == "succeeded"
    bad = banditloop("run", tmp_path / "retraining.yaml", "-c", config_file)
    assert bad.returncode == 1
    assert "no interactions logged since" in bad.stdout
    refused(banditloop("run", tmp_path / "startup.yaml", "-c", config_file, "-p", "interactions=x"), "interactions")
    refused(banditloop("run", tmp_path / "startup.yaml", "-c", config_file, "-p", "interactions=["), "interactions")
    none = banditloop("run", tmp_path / "startup.yaml", "-c", config_file, "-p", "interactions=0", "--json")
    assert "interactions = 0: give at least 1" in json.loads(none.stdout)["reason"]
    refused(banditloop("submit", tmp_path / "none.yaml", "-c", config_file), "none.yaml")
    submitted = json.loads(banditloop("submit", tmp_path / "retraining.yaml", "-c", config_file, "--json").stdout)
    status = json.loads(banditloop("status", "-c", config_file, "--json").stdout)
    assert submitted["run_id"] == status["runs"][-1]["run"]
    assert status["versions"][0]["version"] == "random"


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


def written(config, path):
    path.write_text(json.dumps(config.to_dict()))
    return path


def test_the_target_takes_the_place_of_the_configs_runner(tmp_path, config_file, greeting):
    backend = {"name": "google", "project": "a-project", "bucket": "bucket", "image": "example.com/image:1"}
    options = ("-c", written(make_config(tmp_path, backend=backend), tmp_path / "google.json"))
    words = (greeting, *options, "-p", "run_id=one", "--target", "local", "--json")
    result = banditloop("run", *words, TMPDIR=str(tmp_path))  # where the runs of this machine are
    assert json.loads(result.stdout) == {"run_id": "one", "state": "succeeded", "reason": ""}, result
    log = banditloop("logs", "one", *options, "--target", "local", TMPDIR=str(tmp_path))
    assert "one was here" in log.stdout
    refused(banditloop("run", greeting, *options, "--target", "kfp"), "backend.kfp = ''", "needs the address")
    refused(banditloop("run", greeting, "-c", config_file, "--target", "vertex"), "target = 'vertex'", "'local'")
    assert banditloop("run", greeting, "-c", config_file, "--target", "local").returncode == 0
    assert banditloop("run", greeting, "-c", config_file, "--target", "nowhere").returncode == 2


def test_logs_are_what_a_run_printed(config_file, greeting):
    assert banditloop("run", greeting, "-c", config_file, "-p", "run_id=one").returncode == 0
    assert "one was here" in banditloop("logs", "one", "-c", config_file).stdout
    told = json.loads(banditloop("logs", "one", "-c", config_file, "--json").stdout)
    assert told["run_id"] == "one"
    assert "one was here" in told["log"]
    refused(banditloop("logs", "none", "-c", config_file), "run 'none': there is no such run")


def test_schedules_are_made_paused_resumed_and_deleted(tmp_path, config_file, greeting):
    config = kfp(tmp_path)
    options = ("-c", written(config, tmp_path / "kfp.json"))
    create = ("schedule", "create", "nightly", "30 3 * * *", greeting)

    def told(*words):
        result = banditloop("schedule", *words, *options, "--json")
        assert result.returncode == 0, result
        return [(row["name"], row["cron"], row["state"]) for row in json.loads(result.stdout)]

    assert told(*create[1:]) == told("list") == [("nightly", "30 3 * * *", "active")]
    assert told("pause", "nightly") == [("nightly", "30 3 * * *", "paused")]
    assert told("resume", "nightly") == [("nightly", "30 3 * * *", "active")]
    assert "03:30+00:00" in banditloop("schedule", "list", *options).stdout
    kubeflow().fire(config.backend.endpoint, "nightly")
    [run] = connect(config).runner.runs()
    wait_until(lambda: connect(config).runner.state(run.run_id) == "succeeded", 60)
    assert "greeter: SUCCEEDED" in banditloop("logs", run.run_id, *options).stdout
    assert told("delete", "nightly") == []
    refused(banditloop("schedule", "delete", "nightly", *options), "schedule 'nightly': there is no such schedule")
    refused(banditloop("schedule", "create", "a name", "30 3 * * *", greeting, *options), "schedule 'a name'")
    refused(banditloop("schedule", "create", "nightly", "30 25 * * *", greeting, *options), "cron = '30 25 * * *'")
    refused(banditloop(*create, "-c", config_file), "schedule 'nightly'", "`banditloop serve` retrains here")


def test_status_and_inspect_show_tables_and_json(config, config_file, tmp_path):
    platform = connect(config)
    make_policy(tmp_path / "policy")
    version = deploy(platform.endpoint, tmp_path / "policy")
    platform.warehouse.append("decisions", decisions(["a", "b"], version=version))
    platform.warehouse.append("rewards", rewards(["a"], 3.0))
    [row] = json.loads(banditloop("status", "-c", config_file, "--json").stdout)["versions"]
    expected = {"version": version, "state": "champion", "traffic": 100, "interactions": 2, "rewarded": 1}
    assert row == expected | {"mean_reward": 1.5, "shadowed": 0}
    assert version in banditloop("status", "-c", config_file).stdout
    [row] = json.loads(banditloop("inspect", "-c", config_file, "--json").stdout)
    assert row["mean_reward"] == 1.5
    assert json.loads(banditloop("inspect", tmp_path / "policy", "--json").stdout)["version"] == version


def test_dead_letters_are_listed_and_logged_again_once_the_reason_is_gone(config, config_file):
    platform = connect(config)
    platform.bus.publish("rewards", b'[{"event_id": 1}]')
    platform.bus.deliver("rewards", lambda payloads: log_events(platform, "rewards", payloads))
    [letter] = json.loads(banditloop("dead-letters", "list", "-c", config_file, "--json").stdout)
    assert letter["topic"] == "rewards"
    assert letter["reason"].startswith("event.0.event_id = 1")
    assert letter["payload"] == '[{"event_id": 1}]'
    assert "event_id" in banditloop("dead-letters", "list", "-c", config_file).stdout
    replayed = banditloop("dead-letters", "replay", "-c", config_file, "--json")
    assert json.loads(replayed.stdout) == {"decisions": 0, "rewards": 1}
    received = []
    assert platform.bus.deliver("rewards", received.extend) == 1
    assert received == [b'[{"event_id": 1}]']
    assert json.loads(banditloop("dead-letters", "list", "-c", config_file, "--json").stdout) == []
    refused(banditloop("dead-letters", "replay", "--topic", "nothing", "-c", config_file), "nothing")


def test_loop_writes_a_summary_and_a_page_and_says_nothing_else(tmp_path, config_file):
    words = ("--rounds", "1", "--users", "150", "--interactions", "200", "-o", tmp_path / "out", "--json")
    result = banditloop("loop", "-c", config_file, *words)
    assert result.returncode == 0, result
    assert result.stderr == ""
    summary = json.loads(result.stdout)
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["endpoints"] == ["movielens"]
    assert [v["version"].split("-")[0] for v in summary["versions"]] == ["random", "v1", "v2"]
    assert sum(v["interactions"] for v in summary["versions"]) == 500
    keys = {"version", "state", "interactions", "mean_reward", "value", "greedy_value"}
    assert all(v.keys() == keys for v in summary["versions"])
    page = (tmp_path / "out" / "index.html").read_text()
    assert summary["versions"][-1]["version"] in page
    assert 'src="http' not in page  # works offline


def test_serve_answers_logs_retrains_and_stops_all_it_started(tmp_path, config):
    values = config.to_dict()
    values["trigger"]["min_interactions"] = 50
    config = Config.parse(values)
    (tmp_path / "config.json").write_text(json.dumps(values))
    platform = connect(config)
    make_policy(tmp_path / "policy", dim=config.environment.dim)
    first = deploy(platform.endpoint, tmp_path / "policy")
    with process(config, "-m", "pipelines", "serve", "-c", str(tmp_path / "config.json")) as serving:
        wait_until(lambda: platform.endpoint.serving() == [first])
        simulate(config, platform, Visit(users=50, seed=0))
        wait_until(lambda: len(platform.endpoint.serving()) == 2)
        assert platform.endpoint.release().champion == first
        assert 35 <= newest(platform.endpoint).interactions <= 50  # less what is held out
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0
    assert platform.endpoint.serving() == []
    assert [run.state for run in platform.runner.runs()] == ["succeeded"]
